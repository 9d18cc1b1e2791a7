"""Has stock's `_queue_task` start one worker for many hosts.

StrategyBase: `_workers` (one for each fork), `_pending_results` (a number), `_queued_task_cache` (by host and task),
`_final_q`, `_tqm.send_callback`, `_hosts_cache` (names of the play's hosts), `_step`, `debugger_active`: 2.16-2.21.
2.21 closes a worker as it puts another in its place.
Where results arrive: `_results`, a deque, and `_results_lock`: 2.16-2.21; `_rpc_queue`, a Queue: 2.21.
"""

from __future__ import annotations

import collections
import queue
import resource
import threading
from collections.abc import Callable
from typing import Any

from ansible.utils.display import Display

from . import Unknown
from .shard import Entry, Shard, send_failure

display = Display()

USED = ('_workers', '_pending_results', '_queued_task_cache', '_final_q', '_tqm', '_hosts_cache', '_step',
        'debugger_active')


class Shared:
    """What of a strategy's tasks waits to be started together, and workers that run several hosts.  Raises Unknown."""

    def __init__(self, strategy: Any, methods: Any, may_share: Callable[[Entry], bool],
                 number_of_workers: Callable[[Entry], int], baton: Callable[[], Any]) -> None:
        self._strategy, self._methods = strategy, methods
        missing = [name for name in USED if not hasattr(strategy, name)]
        if missing:
            raise Unknown(f'strategies have no {", ".join(missing)}')
        self._may_share, self._number_of_workers, self._baton = may_share, number_of_workers, baton
        self._waiting: list[Entry] = []
        self._workers: list[Any] = []
        self._width = 1
        # Of the last task: how many hosts have been queued, and how many parts of them were started early.
        self._task, self._begun, self._parts = '', 0, 0

    def queue(self, entry: Entry) -> None:
        """StrategyBase._queue_task."""
        strategy, forks = self._strategy, len(self._strategy._workers)
        hosts = len(strategy._hosts_cache)
        # A host alone has a worker of its own anyway.
        number = self._number_of_workers(entry) if hosts > 1 else 0
        if number:
            number = min(forks, max(number, -(-min(forks, hosts) // most_threads())))
        if strategy.debugger_active or strategy._step or not number or not self._may_share(entry):
            self._methods.queue_task(strategy, *entry)
            return
        self._waiting.append(entry)
        self._width = forks if self._all_at_once() else -(-forks // number)
        strategy._pending_results += 1
        # The first worker begins while others' variables are put together.
        if self._task != entry.task._uuid:
            self._task, self._parts, self._begun = entry.task._uuid, 0, 0
        self._begun += 1
        if self._begun * number >= (self._parts + 1) * hosts:
            self._parts += 1
            self.flush()

    def flush(self) -> None:
        """Start what waits, if there are forks for it: workers of the task before may just be ending."""
        if not self._waiting:
            return
        free = self._free_forks()
        if free < (len(self._waiting) if self._all_at_once() else 1):
            return
        entries, self._waiting = self._waiting, []
        self._strategy._pending_results -= len(entries)
        if len(entries) == 1:
            self._methods.queue_task(self._strategy, *entries[0])
        else:
            self._start(entries, min(self._width, free))

    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def _all_at_once(self) -> bool:
        """Hosts may wait for each other then, as under stock."""
        return len(self._strategy._workers) >= len(self._strategy._hosts_cache)

    def _free_forks(self) -> int:
        alive = [worker for worker in self._strategy._workers if worker is not None and not has_ended(worker)]
        return len(self._strategy._workers) - sum(worker.shard.busy() if worker.shard else 1 for worker in alive)

    def _start(self, entries: list[Entry], width: int) -> None:
        strategy = self._strategy

        def before_start() -> None:
            """What queue_task does for the first: results may come as soon as there is a worker."""
            for entry in entries[1:]:
                strategy._queued_task_cache[entry.host.name, entry.task._uuid] = dict(zip(
                    ('host', 'task', 'task_vars', 'play_context'), entry, strict=True))
                strategy._tqm.send_callback('v2_runner_on_start', entry.host, entry.task)
        self._methods.shard = Shard(entries, width, self._baton(), before_start)
        before = strategy._pending_results
        self._methods.queue_task(strategy, *entries[0])
        self._methods.shard = None
        if strategy._pending_results == before:
            return  # it could not be started, as stock takes for the end of the run
        self._workers.append(self._methods.worker)
        strategy._pending_results += len(entries) - 1

    def mourn(self) -> None:
        """Of workers that died: what had not begun is queued again, what had fails."""
        for worker in [worker for worker in self._workers if has_ended(worker)]:
            self._workers.remove(worker)
            again, lost = worker.shard.left()
            for entry in lost:
                display.warning(f'mitosis: the worker of {entry.host.name} died')
                send_failure(self._strategy._final_q, entry,
                             'The worker process died while it ran this task on this host, and maybe on others.')
            self._strategy._pending_results -= len(again)
            for entry in again:
                self._methods.queue_task(self._strategy, *entry)


def most_threads() -> int:
    """How many hosts one worker may run at the same time, each with a connection or a stock one's pipes."""
    return max(1, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 64) // 8)


class Arrivals:
    """Tells when workers send their strategy something, which stock looks for each millisecond.  Raises Unknown."""

    def __init__(self, strategy: Any) -> None:
        self._came = came = threading.Event()

        class Results(collections.deque):  # type: ignore[type-arg]
            def append(self, x: Any) -> None:
                super().append(x)
                came.set()

        class Requests(queue.Queue):  # type: ignore[type-arg]
            def _put(self, item: Any) -> None:
                super()._put(item)
                came.set()

        requests = getattr(strategy, '_rpc_queue', None)
        if getattr(strategy, '_results', None).__class__ is not collections.deque \
                or not hasattr(strategy, '_results_lock') or type(requests) not in (type(None), queue.Queue):
            raise Unknown('where results of workers arrive')
        with strategy._results_lock:
            strategy._results = Results(strategy._results)
        if requests is not None:
            strategy._rpc_queue = Requests()

    def wait(self, seconds: float) -> bool:
        came = self._came.wait(seconds)
        self._came.clear()
        return came


def has_ended(worker: Any) -> bool:
    try:
        return not worker.is_alive()
    except ValueError:  # whoever took its place has closed it
        return True
