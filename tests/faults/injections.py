"""What can go wrong, drawn by a seed, and how it is made to."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import random
import resource
import signal
import subprocess
import time
from dataclasses import dataclass, replace

from tests.support import leaks

from . import known
from .links import Cut

# Signs of life of the links, so that a silent one is known for dead soon; the last resort of a login; ssh's own.
INTERVAL, TIMEOUT, BOOT, CONNECT = 1, 4, 8, 5
# A pause that all must outlive, and a sleep of all of them that is longer than a silent link lives.
PAUSE, SLEEP = 1.2, TIMEOUT + 1.5

# Bytes that pass the link of a host in a whole run at least, up to it and down from it.
PASSED = {True: 380_000, False: 245_000}
ON_CONTROLLER = ('ansible-playbook', 'a worker', 'the multiplexer')
OF_A_HOST = ('the ssh client', "sshd's process", 'the broker', 'a runner', 'an executor',
             'a broker of another account')
SIGNALS = {'kill': signal.SIGKILL, 'term': signal.SIGTERM, 'stop': signal.SIGSTOP, 'pause': signal.SIGSTOP,
           'suspend': signal.SIGSTOP}
LIMITS = {'descriptors': resource.RLIMIT_NOFILE, 'processes': resource.RLIMIT_NPROC, 'memory': resource.RLIMIT_AS,
          'file size': resource.RLIMIT_FSIZE}
NAMES = {'descriptors': 'nofile', 'processes': 'nproc', 'memory': 'as', 'file size': 'fsize'}
LINKS = ('drop', 'reset', 'half-close', 'truncate', 'delay')
FILLS = ('disk', 'inodes')
KINDS = (*SIGNALS, *LINKS, *FILLS, *LIMITS)
# After these every task's result is there, and right.
SURVIVED = {'pause', 'suspend', 'delay'}
WEIGHTS = {'kill': 5, 'term': 3, 'stop': 2, 'pause': 8, 'suspend': 0.3, 'delay': 8, 'drop': 3, 'reset': 3,
           'half-close': 3, 'truncate': 3}
# Who a stop is forever for: the others are only busy then, for as long as it takes.
STOPPED = ('the ssh client', "sshd's process", 'the broker', 'the multiplexer')


@dataclass
class Injection:
    """Its moment is `after` so many events of the host (of two, for what is on the controller) and `delay` seconds, or
    a cut's byte."""

    seed: int
    way: str
    kind: str
    victim: str
    host: str = ''
    after: int = 0
    delay: float = 0.0
    seconds: float = 0.0
    cut: Cut | None = None
    at: float = 0.0
    until: float = 0.0
    pids: tuple[int, ...] = ()

    @property
    def moment(self) -> str:
        if self.cut:
            return f'byte {self.cut.byte} {"up" if self.cut.up else "down"}'
        return f'{self.after} events + {self.delay:.2f} s'

    @property
    def is_for_all(self) -> bool:
        """Does it strike more than one host?"""
        return not self.host

    @property
    def is_survived(self) -> bool:
        return self.kind in SURVIVED

    def on(self, host: str) -> Injection:
        return replace(self, host=host)


def draw(seed: int, root: bool) -> Injection:
    """`root`: hosts and file systems of our own."""
    rng = random.Random(f'faults {seed}')
    way = rng.choice(('strategy', 'connection'))
    kind = rng.choices(KINDS, [WEIGHTS.get(each, 1) for each in KINDS])[0]
    found = Injection(seed, way, kind, 'the link', '', rng.randrange(known.EVENTS), rng.random() * 0.4)
    found.seconds = PAUSE * (0.2 + 0.8 * rng.random())
    if not found.after:
        found.delay *= 4  # it connects then
    if kind in LINKS:
        up = rng.random() < 0.5
        # Half of them among the first bytes, where each one matters.
        byte = rng.randint(1, PASSED[up]) if rng.random() < 0.5 else int(math.exp(rng.uniform(0, math.log(PASSED[up]))))
        found.cut = Cut(kind, up, byte, found.seconds)
        found.host = 'any'
        return found
    if kind == 'suspend':
        found.victim, found.seconds = 'everything', SLEEP
        return found
    if kind in FILLS:
        found.victim = rng.choice(['target'] * 3 + ['controller'] if root else ['controller'])
    elif kind == 'stop':
        found.victim = rng.choices(STOPPED, [3, 3, 3, 0.15])[0]
    else:
        found.victim = rng.choice(ON_CONTROLLER + OF_A_HOST * 4)
    if found.victim in OF_A_HOST or found.victim == 'target':
        found.host = 'any'
    return found


def is_possible(injection: Injection, root: bool) -> bool:
    """Not all can be where there are no hosts of one's own, and root's processes have no number."""
    if injection.kind in FILLS:
        return root
    if injection.kind == 'processes':
        return injection.victim in OF_A_HOST[2:] or not root
    return root or injection.victim != 'a broker of another account'


def strike(injection: Injection, pids: list[int]) -> bool:
    """Do it to these processes; False where all are gone."""
    struck = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError, FileNotFoundError):
            if injection.kind in SIGNALS:
                os.kill(pid, SIGNALS[injection.kind])
            else:
                limit(pid, injection.kind)
            struck.append(pid)
    injection.pids = tuple(struck)
    if injection.victim == 'a broker of another account':
        injection.pids += tuple(parents(struck))
    return bool(struck)


def parents(pids: list[int]) -> list[int]:
    """The sudo that each is a child of, and its shell."""
    found = []
    for pid in pids:
        for _ in range(2):
            each = leaks.process(pid)
            if each and each.ppid > 1:
                pid = each.ppid
                found.append(pid)
    return found


def limit(pid: int, kind: str) -> None:
    """What a process has now is all that it gets."""
    which = LIMITS[kind]
    if kind == 'descriptors':
        number = len(os.listdir(f'/proc/{pid}/fd'))
    elif kind == 'memory':
        pages = int(pathlib.Path(f'/proc/{pid}/statm').read_text().split()[0])
        number = (pages + 64) * resource.getpagesize()
    else:
        number = 1 if kind == 'processes' else 0
    try:
        resource.prlimit(pid, which, (number, resource.prlimit(pid, which)[1]))
    except PermissionError:  # root may not everywhere, the process's own account may
        owner = os.stat(f'/proc/{pid}')
        done = subprocess.run(['prlimit', f'--pid={pid}', f'--{NAMES[kind]}={number}:'], user=owner.st_uid,
                              group=owner.st_gid, extra_groups=[], capture_output=True, check=False)
        if done.returncode:
            raise


def go_on(injection: Injection) -> None:
    """The end of a stop; twice, since sudo stops itself when it sees what it started stopped."""
    for _ in range(2):
        for pid in injection.pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)


class Filled:
    """Small file systems, which can be full."""

    def __init__(self, folders: list[pathlib.Path]) -> None:
        self._folders = folders

    def fill(self, kind: str) -> None:
        for folder in self._folders:
            with contextlib.suppress(OSError):
                if kind == 'inodes':
                    (folder / '.full').mkdir()
                    for number in range(100_000):
                        (folder / '.full' / str(number)).touch()
                else:
                    with (folder / '.full').open('wb', 0) as file:
                        while True:
                            file.write(bytes(1 << 16))

    def empty(self) -> None:
        for folder in self._folders:
            path = folder / '.full'
            if path.is_dir():
                for each in path.iterdir():
                    each.unlink()
                path.rmdir()
            path.unlink(missing_ok=True)
