"""What all plugins of one process share: the folder of this run, the client, the count of task runs."""

from __future__ import annotations

import collections
import itertools
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ansible import constants as C

from ...mitogen_core.controller.client import PROFILE, SOCKET, Client, StartError, check_private
from ._baton import waiting

T = TypeVar('T')
# Each thread of a shard worker has one.
_own = threading.local()
_profile: tuple[int, Any] | None = None
_numbers = itertools.count(1)
# Is it the first task of a play that workers are forked for?
first_task = False
_seen: set[str] = set()


def folder() -> str:
    """A folder for this run and this user alone: Ansible's own local temporary folder is both.  Raises StartError where
    it is not: somebody who may write to the folder that this lies in can put something else in its place."""
    path = os.path.join(C.DEFAULT_LOCAL_TMP, 'mitosis')
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    try:
        check_private(path)
    except OSError as e:
        raise StartError(f'{path}: {e.strerror}') from e
    return path


def log() -> str:
    """Ansible's own log, if there is one that we may write to."""
    path = str(C.DEFAULT_LOG_PATH or '')
    return path if path and os.access(path, os.W_OK) and not os.path.isdir(path) else ''


def client(run_pid: int) -> Client:
    """This process's connection to the multiplexer, which lives as long as process `run_pid`."""
    found: Client | None = getattr(_own, 'client', None)
    if found is None or _own.pid != os.getpid():
        try:
            found = Client(os.path.join(folder(), SOCKET))
        except OSError:
            from ...mitogen_core.controller import supervisor
            found = supervisor.connect(folder(), run_pid, log())
        found.waiting = waiting
        _own.client, _own.pid = found, os.getpid()
    return found


def existing_client() -> Client | None:
    """A connection to a multiplexer that already runs, or None."""
    try:
        return Client(os.path.join(folder(), SOCKET))
    except (OSError, StartError):
        return None


def first_use() -> bool:
    """May this task's be the first connections of a play?"""
    return first_task or not os.path.exists(os.path.join(folder(), SOCKET))


def is_new(key: str) -> bool:
    """Is it the first time that this process asks for this key?"""
    if key in _seen:
        return False
    _seen.add(key)
    return True


def item() -> Any:
    """The item of a loop that this thread executes ahead of its turn, if it does."""
    return getattr(_own, 'item', None)


def set_item(value: Any) -> None:
    _own.item = value


def for_this_thread(key: Any, make: Callable[[], T]) -> T:
    """What make() gave, once for a thread of this process."""
    kept: tuple[int, dict[Any, Any]] | None = getattr(_own, 'kept', None)
    if kept is None or kept[0] != os.getpid():
        kept = _own.kept = os.getpid(), {}
    if key not in kept[1]:
        kept[1][key] = make()
    found: T = kept[1][key]
    return found


def forget_kept() -> None:
    """What for_this_thread keeps may be of before: this process lives longer than a task."""
    _own.kept = None


def drop_client() -> None:
    """Forget a connection that broke."""
    found = getattr(_own, 'client', None)
    if found is not None and _own.pid == os.getpid():
        found.close()
    _own.client = None


def profile() -> Any:
    """The profile of this worker, where that is wished, else None."""
    global _profile
    wished = os.environ.get(PROFILE)
    if wished and (_profile is None or _profile[0] != os.getpid()):
        from ...mitogen_core.controller.profile import Here
        _profile = (os.getpid(), Here(os.path.abspath(wished), 'worker'))
    return _profile and _profile[1]


def new_name() -> str:
    """A name that no process of this run has given, or will give: a process may have the id of one that has ended."""
    return f'{os.getpid():x}.{time.monotonic_ns() >> 20:x}.{next(_numbers):x}'


def note_use(module: str) -> None:
    """A module is about to run: see _compat/building.py."""
    path = os.path.join(C.DEFAULT_LOCAL_TMP, 'mitosis', 'built')
    try:
        os.close(os.open(os.path.join(path, f'used-{module}'), os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:  # nothing is built ahead
        pass


def count(reason: str) -> None:
    """Note one task run: '' for an accelerated one, else why it went the stock way."""
    line = reason.replace('\n', ' ')[:100] + '\n'
    fd = os.open(os.path.join(C.DEFAULT_LOCAL_TMP, 'mitosis.count'), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, line.encode('utf-8', 'replace'))
    finally:
        os.close(fd)


def summary() -> tuple[str, bool]:
    """One line on the task runs counted since the last summary, empty where there were none; and were all of them
    accelerated?"""
    path = os.path.join(C.DEFAULT_LOCAL_TMP, 'mitosis.count')
    try:
        with open(path, encoding='utf-8') as lines:
            reasons = collections.Counter(line.rstrip('\n') for line in lines)
        os.unlink(path)
    except OSError:
        return '', True
    total = sum(reasons.values())
    fast = reasons.pop('', 0)
    text = f'mitosis: {fast} of {total} task runs accelerated'
    if reasons:
        text += f'; {total - fast} stock: ' + ', '.join(f'{n} {reason}' for reason, n in reasons.most_common(8))
    return text, total == fast
