"""Runs a suite, which is a playbook that must do the same stock and ours, on hosts of its own."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import glob
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from typing import Any

from .control import HERE, Control, Core, Finished
from .hosts import Hosts

# Around the 128 KiB pieces that files travel in.
SIZES = {'x0': 0, 'x131071': 131071, 'x131072': 131072, 'x131073': 131073, 'x8M': 8 * 1024 * 1024}
# How many processes the pool's runs may keep busy; they wait more than they work.
AT_ONCE = 3 * (os.cpu_count() or 1)


@dataclasses.dataclass(frozen=True)
class Suite:
    """A playbook, and what is known of its runs."""

    name: str
    hosts: int
    prepare: Callable[[pathlib.Path], dict[str, str]]
    # At least so many events, and task runs that are accelerated; at most so many that are not.
    records: int
    fast: int
    slow: int
    seconds: int = 900

    def __str__(self) -> str:
        return self.name


class SuiteRun:
    """One run of it: one ansible-core, one way."""

    def __init__(self, suite: Suite, core: Core, way: str, folder: pathlib.Path) -> None:
        self.suite, self.core, self.way, self.folder = suite, core, way, folder
        self.leftovers: list[str] = []
        self.own: list[tuple[str, str]] = []
        self.finished: Finished | None = None

    def run(self, *playbooks: str) -> SuiteRun:
        hosts = Hosts.up(self.suite.hosts, self.folder / 'hosts')
        try:
            control = Control(self.core, self.way, hosts, self.folder / 'control')
            local = self.folder / 'local'
            local.mkdir()
            environ = self.suite.prepare(local)
            network = hosts.addresses['t1'].rpartition('.')[0]
            control.add_inventory('more.ini', '[targets]\n'
                                  f'unreachable ansible_host={network}.250 ansible_ssh_timeout=2\n')
            self.own = [(str(local), 'LOCAL'), (str(self.folder), 'FOLDER'), (network, 'NETWORK')]
            prefix = '' if self.way != 'strategy' else 'mitosis.express.'
            extra: dict[str, Any] = {'local': str(local), 'sizes': list(SIZES), 'free_strategy': prefix + 'free',
                                     'pinned_strategy': prefix + 'host_pinned'}
            python = other_python(self.core)
            if python:
                extra['other_python'] = python
            paths = [HERE / self.suite.name / name for name in playbooks or ('site.yml',)]
            self.finished = control.playbook(*paths, '-e', json.dumps(extra), env=environ, seconds=self.suite.seconds)
            self.leftovers = control.leftovers()
        finally:
            hosts.down()
        return self


class Runs:
    """Runs by (suite, core, way), each done once, at the same time as others, and only if somebody wants it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self._found: dict[tuple[str, str, str], concurrent.futures.Future[SuiteRun]] = {}

    def want(self, suite: Suite, core: Core, way: str) -> concurrent.futures.Future[SuiteRun]:
        key = suite.name, core.version, way
        if key not in self._found:
            run = SuiteRun(suite, core, way, self._folder / '-'.join(key))
            self._found[key] = self._pool.submit(run.run)
        return self._found[key]

    def get(self, suite: Suite, core: Core, way: str) -> SuiteRun:
        return self.want(suite, core, way).result()

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def other_python(core: Core) -> str | None:
    """An interpreter for targets, of another version than theirs, that this ansible-core supports."""
    oldest = (3, 9) if core.number >= (2, 20) else (3, 7)
    system = os.path.realpath('/usr/bin/python3')
    for path in sorted(glob.glob('/usr/bin/python3.*') + glob.glob('/usr/local/bin/python3.*')
                       + glob.glob(os.path.join(os.path.expanduser('~/.pyenv'), 'versions', '3.*', 'bin', 'python3.*'))):
        version = re.search(r'python3\.(\d+)$', path)
        if version and os.path.realpath(path) != system and (3, int(version[1])) >= oldest:
            return path
    return None


def material(folder: pathlib.Path) -> dict[str, str]:
    """Files to be copied."""
    (folder / 'sizes').mkdir(parents=True)
    for name, size in SIZES.items():
        (folder / 'sizes' / name).write_bytes((b'0123456789abcdef' * (size // 16 + 1))[:size])
    tree = folder / 'tree'
    (tree / 'sub' / 'empty').mkdir(parents=True)
    (tree / 'ünï ☃').write_text('snow')
    (tree / 'sub' / 'script').write_text('#!/bin/sh\n')
    (tree / 'sub' / 'script').chmod(0o755)
    (tree / 'link').symlink_to('sub/script')
    (folder / 'fetched').mkdir()
    for path in (tree / 'ünï ☃', tree / 'sub' / 'script'):
        os.utime(path, (1577934245, 1577934245))
    # The same bytes each time.
    for path in (tree / 'sub' / 'empty', tree / 'sub'):
        os.utime(path, (1577934245, 1577934245))
    with gzip.GzipFile(folder / 'archive.tar.gz', 'wb', mtime=0) as packed, \
            tarfile.open(fileobj=packed, mode='w') as archive:
        for name in ('ünï ☃', 'sub'):
            archive.add(tree / name, arcname=name)
    return {}


def binary_module(folder: pathlib.Path) -> dict[str, str]:
    """A module that is no text.  Without a compiler it is a script with a few bytes behind it that are none."""
    module = folder / 'kinds_binary'
    compiler = shutil.which('gcc') or shutil.which('cc')
    if compiler:
        subprocess.run([compiler, '-o', module, HERE / 'kinds' / 'kinds_binary.c'], check=True, timeout=120)
    else:
        module.write_bytes(b'#!/bin/sh\nprintf \'{"changed": false, "arguments": %d, "env": "%s"}\\n\' $# "$KINDS"\n'
                           b'grep -q crash "$1" && kill -ABRT $$\ngrep -q fails "$1" && exit 7\nexit 0\n\0\1\2\xff\n')
    return {'ANSIBLE_LIBRARY': str(folder)}


CONTRACT = Suite('contract', 2, material, records=400, fast=300, slow=6)
# What goes the stock way there: modules whose arguments take the place of a word in their text.
KINDS = Suite('kinds', 1, binary_module, records=550, fast=180, slow=2)
SUITES = [CONTRACT, KINDS]
