"""Loops whose items are under way at the same time: docs/decisions/0014-loops-in-flight.md."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Callable
from typing import Any

from . import _runtime
from ._baton import Baton, mine, wait_for, waiting
from ._compat.actions import action_of, module_of, registered
from ._compat.compiled import share_compiled
from ._compat.independent import Independence, is_template
from ._compat.loops import Loop, Outcome, in_loop, install
from ._compat.options import variables_of

# Action plugins that change nothing on a target before their last request; '' is the one of modules without their own.
ACTIONS = frozenset((
    '', 'assemble', 'command', 'copy', 'fetch', 'normal', 'raw', 'script', 'shell', 'template', 'unarchive'))
# Modules and actions of ansible-core that return no facts, ever.
WITHOUT_FACTS = frozenset((
    'apt', 'apt_key', 'apt_repository', 'assemble', 'blockinfile', 'command', 'copy', 'cron', 'deb822_repository',
    'debconf', 'dnf', 'dnf5', 'dpkg_selections', 'expect', 'fetch', 'file', 'find', 'get_url', 'git', 'group',
    'iptables', 'known_hosts', 'lineinfile', 'ping', 'pip', 'raw', 'replace', 'rpm_key', 'script', 'shell', 'slurp',
    'stat', 'subversion', 'sysvinit', 'tempfile', 'template', 'unarchive', 'user', 'wait_for', 'yum_repository'))
# A task that sets any of these is run item by item.
SEQUENTIAL = ('until', 'retries', 'async_val', 'timeout', 'throttle', 'debugger', 'delegate_to', 'run_once')
# These choose whom and how to reach, and must not be an item's.
CHOOSING = ('become', 'become_exe', 'become_flags', 'become_method', 'become_user', 'connection', 'port', 'remote_user',
            'action')
TEMPLATED = ('args', 'name', 'environment', 'vars', 'module_defaults', 'check_mode', 'diff', 'no_log', 'ignore_errors',
             'ignore_unreachable', 'notify')
# What a registered variable may be: the result of the item.
RESULTS = ('_task.polymorphic_result', '_task.result')

# Descriptors for whatever else this process does.
RESERVED = 64


class _Over(BaseException):
    """An item before this one has ended the loop."""


class _InTurn(BaseException):
    """It turns out that an item may depend on those before it.  It has asked for nothing yet."""


class Lane:
    """The items of a loop that are under way.  All of its state changes with the baton held."""

    def __init__(self, loop: Any, keys: list[str], context: int, width: int,
                 terms: dict[str, Any] | None = None) -> None:
        """`keys` lead to its context.  `terms`: of each item's last request."""
        self.keys, self.context, self.terms = keys, context, terms or {}
        self.place: list[Any] = [_runtime.new_name(), 0]
        self._loop, self._width = loop, width
        # Nothing that chooses a plugin, or is told to one, is a template: items' connections do not differ.
        self.keeps_connections = not any(
            name.startswith(('ansible_', 'mitosis_')) and isinstance(value, str) and is_template(value)
            for name, value in loop.variables.items())
        self._outcomes: dict[int, Outcome] = {}
        # Items below these numbers: were begun; have sent their last request; have ended; were taken.
        self._begun = self._sent = self._ended = self._taken = loop.number
        self._over = self._closed = False
        # The first item that ended the loop.
        self._last: int | None = None
        # An item had to wait for all before it; so has each that begins after that.
        self.one_by_one = False
        self._threads: list[threading.Thread] = []
        self._idle = 0
        # Why an item went the stock way, if one did.
        self.reason = ''
        # Where this worker has no other threads, its only one holds it while the loop lasts.
        shared = mine()
        self._baton = shared or Baton()
        self._held = contextlib.ExitStack()
        if not shared:
            self._held.enter_context(self._baton.held(_nothing))
        self._free, self._arrived = self._baton.condition(), self._baton.condition()

    # the loop's own thread

    def take(self, executor: Any, arguments: dict[str, Any]) -> Any:
        """What `_execute` would return for the item that is next."""
        number = self._taken
        self._next()
        if not self._threads:
            self._run_here(number)
        wait_for(self._arrived, lambda: number in self._outcomes)
        self._taken += 1
        self._next()
        return self._loop.take(executor, arguments, self._outcomes.pop(number))

    def _run_here(self, number: int) -> None:
        """There could be no thread."""
        slot = self._loop.slot()
        self._begun = number + 1
        self._end(number, self._loop.run(slot, number))
        self._finish(slot)

    @property
    def has_taken_all(self) -> bool:
        return bool(self._taken == len(self._loop.items))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = self._over = True
        self._free.notify_all()
        for thread in self._threads:
            with waiting():
                thread.join()
        self._held.close()

    # its items' threads

    def sent(self, number: int) -> None:
        if self._sent == number:
            self._sent += 1
            self._next()

    def alone(self, number: int) -> None:
        self.one_by_one = True
        self.turn(number)

    def turn(self, number: int) -> None:
        wait_for(self._arrived, lambda: self._ended == number)
        if self._last is not None and self._last < number:
            raise _Over

    def _may_begin(self) -> bool:
        number = self._begun
        return self._over or (self._sent == number < min(len(self._loop.items), self._taken + self._width)
                              and (not self.one_by_one or self._ended == number))

    def _next(self) -> None:
        """Have the next item begun, if it may: by a thread that is free, or by one more."""
        if not self._may_begin():
            return
        if self._idle:
            self._free.notify()
        elif not self._over and len(self._threads) < self._width and _room():
            thread = threading.Thread(target=self._loop.in_context(self._work), daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there may be no more
                return
            self._idle += 1
            self._threads.append(thread)

    def _work(self) -> None:
        with self._baton.held(_nothing):
            try:
                slot = self._loop.slot()
            except Exception as e:
                self._idle -= 1
                self._fail(e)
                return
            try:
                while True:
                    wait_for(self._free, self._may_begin)
                    self._idle -= 1
                    if self._over:
                        return
                    self._run(slot)
            finally:
                self._finish(slot)

    def _fail(self, error: Exception) -> None:
        """The next item can't be begun."""
        number = self._begun
        self._begun += 1
        outcome = Outcome()
        outcome.error, outcome.ends = error, True
        self._end(number, outcome)

    def _run(self, slot: Any) -> None:
        number = self._begun
        self._begun += 1
        _runtime.set_item(Item(self, number))
        outcome = self._loop.run(slot, number)
        _runtime.set_item(None)
        self._idle += 1
        self._end(number, outcome)

    def _finish(self, slot: Any) -> None:
        if slot._connection is not None:
            # The loop is one run of a task, which its first connection counts.
            self.reason = slot._connection.uncounted() or self.reason
            slot._connection.close()
        _runtime.drop_client()

    def _end(self, number: int, outcome: Outcome) -> None:
        self._outcomes[number] = outcome
        while self._ended in self._outcomes or self._ended < self._taken:
            self._ended += 1
        if outcome.ends:
            self._over, self._last = True, number if self._last is None else min(number, self._last)
        elif self._sent == number:
            self._sent += 1
        self._arrived.notify_all()
        self._next()


def _room() -> bool:
    """Are there descriptors for one more thread?"""
    try:
        used = len(os.listdir('/dev/fd'))
    except OSError:
        return True
    return used + RESERVED < resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _nothing(waits: bool) -> None:
    pass


class Item:
    """An item of a lane, to those who send its requests."""

    def __init__(self, lane: Lane, number: int) -> None:
        self._lane, self.number = lane, number
        self._spent = False

    @property
    def lane(self) -> list[Any]:
        """The place of its next request: a lane of the context, and the number in it, which changes."""
        return self._lane.place

    @property
    def context(self) -> int:
        return self._lane.context

    def passed(self) -> None:
        """A request in that place is on its way."""
        self._lane.place[1] += 1

    def sent(self) -> None:
        """It was the last: the next item may begin."""
        self.passed()
        self._spent = True
        self._lane.sent(self.number)

    def alone(self) -> None:
        """Wait until all before it have ended; those that have not begun will do so too."""
        self._lane.alone(self.number)

    @staticmethod
    def begin_in_turn() -> None:
        """Begin it anew when it is its turn, and the rest of the loop too."""
        raise _InTurn

    def turn(self) -> None:
        """Wait until all before it have ended."""
        self._lane.turn(self.number)

    @property
    def terms(self) -> dict[str, Any]:
        """Of its last request, besides its place."""
        return self._lane.terms

    @property
    def keeps_connection(self) -> bool:
        """Is its connection as good for a later item?"""
        return self._lane.keeps_connections

    def has_way(self, keys: list[str]) -> bool:
        """May it have a request to the context of these keys in its lane?"""
        return keys == self._lane.keys and self.holds(self.context)

    def holds(self, context: int) -> bool:
        """The same, of a context."""
        return context == self.context and not self._spent and not self._lane.one_by_one


def _execute(executor: Any, arguments: dict[str, Any], stock: Callable[[], Any]) -> Any:
    lane = executor.__dict__.get('_mitosis_lane')
    if lane is None and in_loop(executor):
        lane = _lane(executor, arguments)
        if lane is not None:
            executor._mitosis_lane = lane
    if lane:
        try:
            return lane.take(executor, arguments)
        except _InTurn:
            lane.close()
            executor._mitosis_lane = False
    return stock()


def _lane(executor: Any, arguments: dict[str, Any]) -> Lane | bool | None:
    """A lane for what is left of a loop; False: there will be none; None: not yet."""
    connection = executor._connection
    if not getattr(connection, 'way', None):
        return None
    width = int(connection.get_option('mitosis_in_flight'))
    loop = Loop(executor, arguments)
    if width < 2 or len(loop.items) - loop.number < 2 or not _independent(loop, connection):
        return False
    try:
        keys, context = connection.ends_in()
    except Exception:  # the next item will meet it where it belongs
        return False
    lane = connection.lane = Lane(loop, keys, context, width)
    return lane


def files(connection: Any, loop: Any) -> Lane | None:
    """A lane for what is left of a folder's files, which stops at the first that fails; None: there can be none."""
    width = int(connection.get_option('mitosis_in_flight'))
    if width < 2 or _runtime.item() or not connection.way or connection.way[0] is not None:
        return None  # by another account files are put where they are in nobody's order
    prepare()
    try:
        keys, context = connection.ends_in()
    except Exception:  # the next file will meet it where it belongs
        return None
    return Lane(loop, keys, context, width, {'choices': [[{'failed': None}, {'failed': False}]]})


def _independent(loop: Loop, connection: Any) -> bool:
    """Is it certain that no item of the loop depends on one before it?"""
    task, control = loop.task, loop.task.loop_control
    if any(getattr(task, name, None) for name in SEQUENTIAL) or control.pause or getattr(control, 'break_when', None):
        return False
    if action_of(task) not in ACTIONS or any(is_template(str(getattr(task, name, ''))) for name in CHOOSING):
        return False
    own, known = loop.own_names(), module_of(task) in WITHOUT_FACTS
    # 2.21 has an expression for each name.
    expressions = task.register.values() if isinstance(task.register, dict) else ()
    changing = registered(task)
    check = Independence(loop.variables, own, changing, known)
    after = Independence(loop.variables, own | changing, frozenset(), known)
    options = variables_of(connection)
    return (all(check.of(_plain(getattr(task, name, None))) for name in TEMPLATED)
            and not options & changing
            and all(check.of(value) for name, value in loop.variables.items()
                    if name in options or (name.startswith('ansible_') and isinstance(value, str)))
            and check.of(loop.items) and after.of(control.label)
            and check.condition(task.when)
            and all(after.condition(value) for value in (task.changed_when, task.failed_when))
            and all(expression in RESULTS for expression in expressions))


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, dict, list, tuple, bool, int, float, type(None))) else str(value)


def prepare() -> None:
    """In a worker that has run a loop's first item."""
    install(_execute)
    share_compiled()
