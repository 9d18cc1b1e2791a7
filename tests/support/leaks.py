"""Finds what a test left behind: processes, descriptors, threads, files.

Everything that a test starts inherits MARK with a value of that test, and /proc tells who has it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

MARK = 'MITOSIS_TEST_MARK'
# For what must come, but may take a moment: a deadline for a loaded machine, not a time that anything should need.
SECONDS = 60


@dataclass(frozen=True)
class Process:
    pid: int
    ppid: int
    state: str
    command: str

    def __str__(self) -> str:
        return f'{self.pid} (child of {self.ppid}, {self.state}) {self.command}'


def process(pid: int) -> Process | None:
    """What /proc says about a process; None where it is gone."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_bytes()
        command = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
    except OSError:
        return None
    state, ppid = stat.rpartition(b')')[2].split()[:2]
    return Process(pid, int(ppid), state.decode(), command.replace(b'\0', b' ').decode('utf-8', 'replace')[:120])


def processes() -> list[Process]:
    found = (process(int(name)) for name in os.listdir('/proc') if name.isdigit())
    return [each for each in found if each]


def has_mark(pid: int, mark: str) -> bool:
    try:
        environ = pathlib.Path(f'/proc/{pid}/environ').read_bytes()
    except OSError:
        return False
    return f'{MARK}={mark}'.encode() in environ.split(b'\0')


def marked(mark: str) -> list[Process]:
    """The living processes with `mark`, and the dead that one of them, or this process, has not waited for."""
    every = processes()
    living = {each.pid: each for each in every if has_mark(each.pid, mark)}
    return [*living.values(),
            *(each for each in every if each.state == 'Z' and (each.ppid in living or each.ppid == os.getpid()))]


def alive(pid: int) -> bool:
    found = process(pid)
    return found is not None and found.state != 'Z'


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, and `pid`."""
    found, every = [pid], processes()
    for parent in found:
        found += [each.pid for each in every if each.ppid == parent]
    return found


def wait_until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    """Poll until condition() is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f'waited {seconds} s for: {what}'
        time.sleep(0.01)


def _settled(find: Callable[[], list[Process]], seconds: float) -> list[Process]:
    end = time.monotonic() + seconds
    left = find()
    while left and time.monotonic() < end:
        time.sleep(0.01)
        left = find()
    return left


def no_processes(mark: str, what: str = 'processes left', seconds: float = SECONDS) -> None:
    """Fail where a process with `mark` is alive after `seconds`; end it, so that it harms no other test."""
    left = _settled(lambda: marked(mark), seconds)
    if left:
        end(left, mark)
        raise AssertionError(f'{what}: ' + '; '.join(map(str, left)))


def end(left: list[Process], mark: str) -> None:
    """Kill processes that a test started."""
    for each in left:
        if has_mark(each.pid, mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)


def strays(mark: str, root: int) -> list[Process]:
    """Processes with `mark` that are no part of an engine at rest, whose multiplexer is `root`.

    Parts are: the multiplexer, brokers (its children), supervisors of runners, and at most two executors of each.
    """
    found = marked(mark)
    level = {root: 0}
    executors: dict[int, int] = {}
    changed = True
    while changed:
        changed = False
        for each in found:
            if each.pid not in level and each.state != 'Z' and each.ppid in level and level[each.ppid] < 3:
                depth = level[each.ppid] + 1
                if depth == 3:
                    executors[each.ppid] = executors.get(each.ppid, 0) + 1
                    if executors[each.ppid] > 2:
                        continue
                level[each.pid] = depth
                changed = True
    return [each for each in found if each.pid not in level]


def no_strays(mark: str, root: int, seconds: float = SECONDS) -> None:
    left = _settled(lambda: strays(mark, root), seconds)
    if left:
        end(left, mark)
        raise AssertionError('left beside an engine at rest: ' + '; '.join(map(str, left)))


class Here:
    """What this process has open."""

    def __init__(self) -> None:
        self.fds, self.threads = self._fds(), set(threading.enumerate())

    @staticmethod
    def _fds() -> dict[str, str]:
        found = {}
        for name in os.listdir('/proc/self/fd'):
            with contextlib.suppress(FileNotFoundError):  # the one that listed the folder
                found[name] = os.readlink(f'/proc/self/fd/{name}')
        return found

    def check(self) -> None:
        fds = {name: target for name, target in self._fds().items() if self.fds.get(name) != target}
        assert not fds, f'descriptors left open: {fds}'
        threads = set(threading.enumerate()) - self.threads
        assert not threads, f'threads left: {threads}'
