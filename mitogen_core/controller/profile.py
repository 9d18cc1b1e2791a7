"""Profiles of a run: with MITOSIS_PROFILE=folder in the environment, each process of ours leaves a file there.

    python -m mitogen_core.controller.profile FOLDER [ROWS]

merges them into a table for each role.  The files are those of cProfile, named ROLE-WHERE-PID.prof.  Where the variable
is not set nothing is imported for it.
"""

from __future__ import annotations

import collections
import cProfile
import json
import marshal
import os
import pathlib
import pstats
import re
import sys
import zlib
from typing import Any

ROLES = ('worker', 'multiplexer', 'broker', 'runner')
# At the end of a run, for all contexts together.
SECONDS = 10
# Of what one context tells at a time, inflated; and how often it may.
MAX_SIZE, MOST = 4 << 20, 100
CALLERS: dict[Any, Any] = {}


def path_of(folder: str, role: str, where: str, pid: int) -> str:
    return os.path.join(folder, f'{role}-{re.sub("[^A-Za-z0-9@.-]+", "_", where)[:80]}-{pid}.prof')


class Here:
    """The profile of this process."""

    def __init__(self, folder: str, role: str) -> None:
        self.folder, self.role, self.pid = folder, role, os.getpid()
        self.profiler = cProfile.Profile()
        self.profiler.enable()

    def end(self) -> None:
        """Write what was found so far."""
        self.profiler.disable()
        if self.pid == os.getpid():
            os.makedirs(self.folder, exist_ok=True)
            self.profiler.dump_stats(path_of(self.folder, self.role, 'controller', self.pid))

    def go_on(self) -> None:
        self.profiler.enable()


class Contexts:
    """The multiplexer's, and those of the contexts, which are fetched before they end."""

    def __init__(self, mux: Any, folder: str) -> None:
        self.mux, self.folder = mux, folder
        self.here = Here(folder, 'multiplexer')
        self.told: collections.Counter[str] = collections.Counter()

    def joined(self, context: int) -> None:
        self.mux.call(context, 'profile', 'start', {}, lambda *_: None)

    def end(self) -> None:
        """Fetch what all contexts found; serves the loop meanwhile."""
        self.here.end()
        left = {context for context in self.mux.contexts.by_id if self.mux.router.link_of(context) is not None}
        for context in list(left):
            name = self.mux.contexts.name_of(context)
            self.mux.call(context, 'profile', 'take', {}, lambda *_, context=context: left.discard(context),
                          lambda head, bulk, name=name: self.write(name, head, bulk))
        self.mux.serve_while(lambda: bool(left), SECONDS)

    def write(self, context: str, head: Any, bulk: bytes) -> None:
        """What a target tells of itself: it may be anything."""
        try:
            role, pid = str(head['profile']), int(head['pid'])
            rows = json.loads(zlib.decompressobj().decompress(bulk, MAX_SIZE))
            found = {(str(file), int(line), str(name)): (int(primitive), int(calls), float(own), float(total), CALLERS)
                     for file, line, name, primitive, calls, own, total in rows}
        except Exception as e:
            self.mux.log.write(30, f'no profile of {context}: {e}')
            return
        self.told[context] += 1
        if role in ROLES and self.told[context] <= MOST:
            pathlib.Path(path_of(self.folder, role, context, pid)).write_bytes(marshal.dumps(found))


def table(folder: str, rows: int) -> list[str]:
    """Lines: for each role its processes, and the functions that took most of their own time."""
    files: dict[str, list[str]] = collections.defaultdict(list)
    for path in sorted(pathlib.Path(folder).glob('*.prof')):
        files[path.name.partition('-')[0]].append(str(path))
    lines = []
    for role in ROLES:
        if not files[role]:
            continue
        merged = pstats.Stats(files[role][0])
        merged.add(*files[role][1:])
        stats: dict[Any, Any] = merged.stats  # type: ignore[attr-defined]
        found = sorted(stats.items(), key=lambda item: -item[1][2])
        own = sum(row[2] for _function, row in found)
        lines += ['', f'{role}: {len(files[role])} processes, {own:.3f} s', '     calls    own s  total s']
        for (file, line, function), (_primitive, calls, own, total, _callers) in found[:rows]:
            place = f'{"/".join(file.split("/")[-2:])}:{line} ' if line else ''
            lines.append(f'{calls:>10} {own:>8.3f} {total:>8.3f}  {place}{function}')
    return lines[1:]


if __name__ == '__main__':
    folder, *more = sys.argv[1:] or ['']
    lines = table(folder, int(more[0]) if more else 15)
    print('\n'.join(lines) or f'no profiles in {folder!r}: run with MITOSIS_PROFILE={folder or "FOLDER"}')
    sys.exit(not lines)
