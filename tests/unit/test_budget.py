"""What is sent to a target, and what a reader has to read, stays small."""

from __future__ import annotations

import itertools

import pytest

from mitogen_core.controller import bootstrap
from tests.support.sources import CORE, ROOT, python_files

FOLDERS = ('mitogen_core', 'plugins', 'roles', 'tests', 'tools')


def lines(path) -> int:
    return path.read_bytes().count(b'\n')


def test_first_stage():
    """The command line that logs are full of, and that some sudoers rules have to hold."""
    path = '/opt/organisation/applications/platform/virtualenvs/automation-2026.1/bin/python3.12'
    assert len(bootstrap.boot_command()) <= 900
    assert len(bootstrap.boot_command((path, *bootstrap.CANDIDATES))) <= 900
    assert len(bootstrap.first_stage(path)) <= 900


def test_shipped_lines():
    """Of what each target is sent, whatever it is asked for.  Comments and docstrings count, blank lines do not."""
    texts = [(CORE / name).read_bytes() for name in bootstrap.SHIPPED]
    assert sum(bool(line.strip()) for text in texts for line in text.splitlines()) <= 2500


def test_shipped_bytes():
    assert len(bootstrap.boot_code()) <= 20 * 1024
    sizes = {service: len(blob) for service, (_, blob) in bootstrap.late_code().items()}
    assert sizes.pop('modules') <= 11 * 1024
    assert all(size <= 3 * 1024 for size in sizes.values()), sizes


def test_shipped_set_is_wire_and_remote():
    found = {str(path.relative_to(CORE)) for name in ('wire', 'remote') for path in python_files(CORE / name)}
    sent = set(bootstrap.SHIPPED) | set(itertools.chain(*bootstrap.LATE.values()))
    assert {name for name in found if not name.endswith('/__init__.py')} == sent
    assert len(bootstrap.SHIPPED) == len(set(bootstrap.SHIPPED))
    # A package is sent as its name alone.
    assert all((CORE / name).read_bytes() == b'' for name in found if name.endswith('/__init__.py'))


@pytest.mark.parametrize('folder', FOLDERS)
def test_files_can_be_read_in_one_go(folder):
    files = python_files(ROOT / folder)
    assert files or folder == 'roles'
    assert {str(path.relative_to(ROOT)): lines(path) for path in files if lines(path) > 400} == {}
