"""The Pythons of this machine that the shipped set has to run on."""

from __future__ import annotations

import functools
import os
import pathlib
import re
import shutil
import subprocess
from dataclasses import dataclass

LOWEST = ((2, 7), (3, 6))
NAME = re.compile(r'python[23](\.\d+)?$')
ASK = 'import sys;print("%d.%d %s" % (sys.version_info[0], sys.version_info[1], sys.executable))'


@dataclass(frozen=True)
class Interpreter:
    """One Python; `version` is (major, minor)."""

    version: tuple[int, int]
    path: str

    def __str__(self) -> str:
        return 'py' + '.'.join(map(str, self.version))


def _candidates() -> list[str]:
    folders = []
    if shutil.which('pyenv'):
        done = subprocess.run(['pyenv', 'root'], capture_output=True, text=True, check=True, timeout=30)
        folders += sorted((pathlib.Path(done.stdout.strip()) / 'versions').glob('*/bin'))
    folders += [pathlib.Path(folder) for folder in os.get_exec_path()]
    found = []
    for folder in folders:
        if folder.is_dir():
            found += sorted(str(path) for path in folder.iterdir() if NAME.match(path.name))
    return found


def _is_binary(path: str) -> bool:
    """Not a script that starts whichever Python is selected."""
    try:
        with open(path, 'rb') as program:
            return program.read(2) != b'#!'
    except OSError:
        return False


@functools.cache
def found() -> tuple[Interpreter, ...]:
    """One interpreter of each supported version, oldest first."""
    by_version: dict[tuple[int, int], Interpreter] = {}
    known = set()
    for path in _candidates():
        real = os.path.realpath(path)
        if real in known or not _is_binary(real):
            continue
        known.add(real)
        done = subprocess.run([path, '-c', ASK], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            continue
        version, executable = done.stdout.split(None, 1)
        major, minor = (int(part) for part in version.split('.'))
        if any(major == low[0] and minor >= low[1] for low in LOWEST):
            by_version.setdefault((major, minor), Interpreter((major, minor), executable.strip()))
    return tuple(by_version[version] for version in sorted(by_version))


def edges() -> tuple[Interpreter, ...]:
    """The ends of both supported ranges: enough for what hardly depends on the version."""
    every = found()
    ends = {group[at] for major in (2, 3) for at in (0, -1)
            if (group := [i for i in every if i.version[0] == major])}
    return tuple(sorted(ends, key=lambda interpreter: interpreter.version))


def newest() -> Interpreter:
    return found()[-1]
