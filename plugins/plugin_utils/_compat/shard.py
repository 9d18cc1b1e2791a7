"""A worker process for one task on many hosts: stock's own, which runs once for each.

WorkerProcess, 2.16-2.21: `_run` runs the task of `_host`, `_task`, `_task_vars` and `_play_context` and sends the
result; `run` makes the process a worker's before that.  It empties `_host.vars` and `_host.groups`, and warns of
what is in sys.stdout, if that is a StringIO (2.19-2.21).
TaskContext, of each thread: 2.19-2.20 TaskContext(task), 2.21 TaskContext.create(...).
FinalQueue.send_task_result: 2.16-2.18 (name, uuid, dict, task_fields), 2.19-2.20 (_RawTaskResult), 2.21 (host, task,
result).
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import copy
import io
import mmap
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible.utils.display import Display

from . import core_version
from .compiled import share_compiled

display = Display()

# What is noted of a host, in its byte.
QUEUED, RUNNING, WAITING, DIED, DONE = range(5)


class Entry(NamedTuple):
    """One call of StrategyBase._queue_task."""

    host: Any
    task: Any
    task_vars: Any
    play_context: Any


class Shard:
    """Entries that one worker is to run, at most `width` at a time; `held(note)` and `waiting()` make up the baton."""

    def __init__(self, entries: list[Entry], width: int, baton: Any, before_start: Callable[[], None]) -> None:
        self.entries, self.width, self.baton = entries, width, baton
        # Called as its worker is about to be started.
        self.before_start = before_start
        # Shared with the worker.
        self.states = mmap.mmap(-1, len(entries))

    def run(self, worker: Any, run_one: Any) -> None:
        """In the worker's process: run_one(view) for each entry."""
        views = collections.deque(enumerate([view(worker, entry) for entry in self.entries]))
        separate_streams()
        share_compiled()
        self._sleep_aside()

        def work() -> None:
            while True:
                try:
                    number, one = views.popleft()
                except IndexError:
                    return

                def note(waits: bool, number: int = number) -> None:
                    self.states[number] = WAITING if waits else RUNNING
                with self.baton.held(note):
                    note(False)
                    try:
                        with task_context(one._host, one._task, one._task_vars):
                            run_one(one)
                    except BaseException:
                        self.states[number] = DIED
                        display.error(traceback.format_exc(), wrap_text=False)
                    else:
                        self.states[number] = DONE
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(work,))
                   for _number in range(min(self.width, len(self.entries)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _sleep_aside(self) -> None:
        """In the worker's process: while one sleeps others run."""
        real = time.sleep

        def sleep(seconds: Any) -> None:
            with self.baton.waiting():
                real(seconds)
        time.sleep = sleep

    def busy(self) -> int:
        """How many hosts it runs at the same time, or will."""
        return min(self.width, sum(state not in (DIED, DONE) for state in self.states[:]))

    def left(self) -> tuple[list[Entry], list[Entry]]:
        """Of a worker that has ended: entries that had not begun, and those that had and did not end."""
        states = list(zip(self.entries, self.states[:], strict=True))
        return ([entry for entry, state in states if state == QUEUED],
                [entry for entry, state in states if state in (RUNNING, WAITING, DIED)])


def view(worker: Any, entry: Entry) -> Any:
    """The worker as if it had been started for this entry alone: what its task changes is its own."""
    one = object.__new__(type(worker))
    one.__dict__.update(worker.__dict__)
    one._task = entry.task.copy(exclude_tasks=True)
    one._host, one._loader = copy.copy(entry.host), copy.copy(worker._loader)
    one._loader._tempfiles = set()
    one._task_vars, one._play_context = entry.task_vars, entry.play_context
    return one


def task_context(host: Any, task: Any, task_vars: Any) -> Any:
    if core_version() < (2, 19):
        return contextlib.nullcontext()
    from ansible._internal._task import TaskContext
    if core_version() < (2, 21):
        return TaskContext(task)  # pylint: disable=missing-kwoa
    return TaskContext.create(task=task, task_vars=task_vars, host_name=host.name)


class Stream(io.TextIOBase):
    """A StringIO for each thread."""

    def __init__(self) -> None:
        self._own = threading.local()

    def _stream(self) -> io.StringIO:
        if not hasattr(self._own, 'stream'):
            self._own.stream = io.StringIO()
        found: io.StringIO = self._own.stream
        return found

    def write(self, text: str) -> int:
        return self._stream().write(text)

    def getvalue(self) -> str:
        """What this thread wrote since the last time."""
        text, self._own.stream = self._stream().getvalue(), io.StringIO()
        return text


def separate_streams() -> None:
    if isinstance(sys.stdout, io.StringIO):
        sys.stdout, sys.stderr = Stream(), Stream()


def send_failure(final_q: Any, entry: Entry, text: str) -> None:
    """Have the strategy get a failed result."""
    from ansible.errors import AnsibleError
    host, task = entry.host, entry.task
    if core_version() < (2, 19):
        final_q.send_task_result(host.name, task._uuid, {'failed': True, 'msg': text}, task_fields=task.dump_attrs())
    elif core_version() < (2, 21):
        from ansible.executor.task_result import _RawTaskResult
        final_q.send_task_result(_RawTaskResult(host=host, task=task, return_data={'failed': True, 'msg': text},
                                                task_fields=task.dump_attrs()))
    else:
        from ansible._internal._task import UnifiedTaskResult
        task = task.copy(exclude_tasks=True)
        with task_context(host, task, entry.task_vars):
            result = UnifiedTaskResult.create_from_action_exception(AnsibleError(text))
            result.finalize_registered_values()
            final_q.send_task_result(host, task, result)
