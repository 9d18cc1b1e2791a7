"""What the stand-ins share: instances, which are folders below $MITOSIS_STANDINS/instances, and sessions in them.

An instance misbehaves by the files in its folder:

  gone      nobody knows of an instance of that name
  stopped   it is there, but does not run
  denied    this user may not reach it
  restart   ends the sessions that were there before the file was made, or touched, and all that they started
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import sys
from typing import NoReturn

SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
# Of the controller's environment; the first two are the tests' own.
KEPT = ('MITOSIS_STANDINS', 'MITOSIS_TEST_RUN', 'TERM')


def die(text: str, code: int = 1) -> NoReturn:
    """End as a program does that complains."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)
    sys.exit(code)


def state() -> str:
    """The folder that tells stand-ins what to do."""
    return os.environ.get('MITOSIS_STANDINS') or die('stand-in: MITOSIS_STANDINS is not set', 99)


def folder(name: str) -> str:
    return os.path.join(state(), 'instances', name)


def names() -> list[str]:
    """All instances that are there."""
    top = os.path.join(state(), 'instances')
    return sorted(name for name in os.listdir(top) if not told(name, 'gone')) if os.path.isdir(top) else []


def told(name: str, word: str) -> bool:
    """Is the instance told to misbehave in this way?"""
    return os.path.exists(os.path.join(folder(name), word))


def known(name: str) -> bool:
    return bool(name) and '/' not in name and os.path.isdir(folder(name)) and not told(name, 'gone')


def environ(name: str, **more: str) -> dict[str, str]:
    """The environment of an instance: nothing of the controller's, and a home of its own."""
    home = os.path.join(folder(name), 'home')
    os.makedirs(home, exist_ok=True)
    path = f'{SYSTEM_PATH}:{os.path.dirname(os.path.realpath(__file__))}'
    kept = {key: os.environ[key] for key in KEPT if key in os.environ}
    return {'PATH': path, 'HOME': home, 'LANG': 'C.UTF-8', 'STANDIN': folder(name), **kept, **more}


def processes(name: str) -> set[int]:
    """All that runs in the instance: what has its environment, and the children of that."""
    mark = f'STANDIN={folder(name)}'.encode()
    parents, found = {}, set()
    for pid in (int(entry) for entry in os.listdir('/proc') if entry.isdigit()):
        try:
            with open(f'/proc/{pid}/stat', 'rb') as file:
                parents[pid] = int(file.read().rpartition(b')')[2].split()[1])
            with open(f'/proc/{pid}/environ', 'rb') as file:
                if mark in file.read().split(b'\0'):
                    found.add(pid)
        except OSError:
            continue
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def session(name: str, argv: list[str], environ: dict[str, str], user: str | None = None, place: str = '/') -> int:
    """Run a program in the instance, without a terminal; returns its exit code, or 128 + the signal that ended it."""
    program = shutil.which(argv[0], path=environ['PATH'])
    if not program:
        return 127
    note = os.path.join(folder(name), f'session.{os.getpid()}')
    open(note, 'w').close()
    born = os.stat(note).st_mtime_ns
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            if user:
                become(user)
            os.chdir(place)
            os.execve(program, argv, environ)
        finally:
            os._exit(126)
    ended = os.pidfd_open(pid)
    try:
        while not select.select([ended], [], [], 0.1)[0]:
            try:
                if os.stat(os.path.join(folder(name), 'restart')).st_mtime_ns >= born:
                    kill({pid, *processes(name)})
            except FileNotFoundError:
                pass
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        # The folder itself may be gone by now.
        if os.path.exists(note):
            os.unlink(note)
    return status if status >= 0 else 128 - status


def kill(pids: set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def become(user: str) -> None:
    """Really, where we may; who may not stays what they are."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


class Words:
    """The words of a command line, taken one after the other."""

    def __init__(self, words: list[str]) -> None:
        self.rest = list(words)

    def next(self, complaint: str = 'a word is missing') -> str:
        return self.rest.pop(0) if self.rest else die(f'error: {complaint}')

    def options(self, valued: set[str], plain: set[str], unknown: str) -> dict[str, str]:
        """Options up to the first other word, or up to `--`, which stays.  `unknown` is what is said of others."""
        found = {}
        while self.rest and self.rest[0].startswith('-') and self.rest[0] != '--':
            name, equals, value = self.next().partition('=')
            if name in valued:
                found[name] = value if equals else self.next(f'flag needs an argument: {name}')
            elif name in plain:
                found[name] = value or 'true'
            else:
                die(unknown % name)
        return found
