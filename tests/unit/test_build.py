"""What is built: the same, whoever builds it, wherever and whenever; what users need alone; all of one licence."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

import pytest
import yaml

from tests.support.sources import ROOT
from tools import normalise

GALAXY = yaml.safe_load((ROOT / 'galaxy.yml').read_text())
NAME = f'{GALAXY["namespace"]}-{GALAXY["name"]}-{GALAXY["version"]}.tar.gz'
SECONDS = 1_600_000_000
LICENCE = 'GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)'
# Other licences, and words of those who hold rights.
OTHERS = re.compile(r'\b(MIT|BSD|Apache|MPL|LGPL|AGPL|ISC)\b.{0,20}licen[cs]e|\bcopyright\b|\(c\) *\d{4}'
                    r'|all rights reserved|SPDX-License' r'-Identifier: (?!GPL-3\.0-or-later)', re.I)


def sources() -> list[str]:
    """The project's files, by their paths."""
    if not (ROOT / '.git').exists():
        pytest.skip('the project\'s files are those that git knows')
    git = ['git', '-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard']
    listed = subprocess.run(git, cwd=ROOT, check=True, capture_output=True).stdout.decode().split('\0')
    return [name for name in listed if name and (ROOT / name).is_file()]


def build(folder: pathlib.Path, backwards: bool, umask: int) -> bytes:
    """Copy the project to a folder, with droppings of all tools, and build it there."""
    before = os.umask(umask)
    try:
        droppings = ['.dev/dist/a', '.git/config', 'plugins/action/__pycache__/status.cpython-313.pyc', 'site.retry',
                     '.mypy_cache/a', '.pytest_cache/a', '.ruff_cache/a', '.hypothesis/a', '.venv/a', 'tests/output/a',
                     'mitosis-express-0.0.1.tar.gz', 'changelogs/.plugin-cache.yaml']
        for name in sorted(sources(), reverse=backwards):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
            if os.access(ROOT / name, os.X_OK):
                (folder / name).chmod(0o777 & ~umask)
        for name in droppings if backwards else []:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text('a')
        subprocess.run([pathlib.Path(sys.executable).parent / 'ansible-galaxy', 'collection', 'build', '--output-path',
                        folder / '.dev', folder], check=True, capture_output=True, timeout=120)
    finally:
        os.umask(before)
    return (folder / '.dev' / NAME).read_bytes()


@pytest.fixture(scope='module')
def tarball(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp('built') / NAME
    path.write_bytes(normalise.normalised(build(tmp_path_factory.mktemp('one'), False, 0o22), SECONDS))
    return path


@pytest.fixture(scope='module')
def built(tarball: pathlib.Path) -> dict[str, bytes]:
    """What is in it: path -> content."""
    with tarfile.open(tarball) as tar:
        return {member.name: file.read() for member in tar if (file := tar.extractfile(member))}


def test_reproducible(tarball: pathlib.Path, tmp_path: pathlib.Path):
    """Byte for byte: from another folder, at another time, with another umask, files made in another order, and with
    droppings of tools."""
    other = build(tmp_path / 'another name', True, 0o77)
    assert normalise.normalised(other, SECONDS) == tarball.read_bytes()


def test_checksums(tarball: pathlib.Path, built: dict[str, bytes]):
    """As Galaxy and `ansible-galaxy collection verify` check them."""
    listed = json.loads(built['FILES.json'])
    manifest = json.loads(built['MANIFEST.json'])
    assert manifest['file_manifest_file']['chksum_sha256'] == hashlib.sha256(built['FILES.json']).hexdigest()
    sums = {file['name']: file['chksum_sha256'] for file in listed['files'] if file['ftype'] == 'file'}
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in built.items()
                    if name not in ('FILES.json', 'MANIFEST.json')}
    with tarfile.open(tarball) as tar:
        assert {(member.uid, member.gid, member.mtime) for member in tar} == {(0, 0, SECONDS)}
        assert {oct(member.mode) for member in tar if member.isfile()} <= {'0o644', '0o755'}


def test_nothing_else(built: dict[str, bytes]):
    """All that is shipped, and only that."""
    files = {'LICENSE', 'README.md', 'SECURITY.md'}
    folders = ('changelogs/', 'docs/', 'meta/', 'mitogen_core/', 'playbooks/', 'plugins/', 'roles/')
    expected = {name for name in sources() if name in files or name.startswith(folders)}
    assert set(built) - {'FILES.json', 'MANIFEST.json'} == expected


def test_what_git_ignores_is_not_built():
    ignored = [line.strip('/') for line in (ROOT / '.gitignore').read_text().splitlines()]
    assert [name for name in ignored if not any(
        fnmatch.fnmatch(name, pattern) or name.startswith(f'{pattern}/') for pattern in GALAXY['build_ignore'])] == []


def test_licences(built: dict[str, bytes]):
    """One for all: no file brings another, and each that Ansible loads says so by itself, as its tests ask."""
    assert GALAXY['license'] == ['GPL-3.0-or-later']
    assert built['LICENSE'].split()[:8] == b'GNU GENERAL PUBLIC LICENSE Version 3, 29 June'.split()
    others = {name: found[0] for name, content in built.items()
              if name not in ('LICENSE', 'FILES.json', 'MANIFEST.json') and (found := OTHERS.search(content.decode()))}
    assert others == {}
    loaded = [name for name in built if re.match(r'plugins/(?!plugin_utils/)\w+/\w+\.py$', name)]
    assert len(loaded) > 8
    assert [name for name in loaded if LICENCE not in built[name].decode().split('\n', 1)[0]] == []
    assert yaml.safe_load(built['roles/selfcheck/meta/main.yml'])['galaxy_info']['license'] == 'GPL-3.0-or-later'
