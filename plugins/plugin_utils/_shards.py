"""What of a play may share a worker, and how many workers there are: docs/decisions/0012-shard-workers.md."""

from __future__ import annotations

import os
import re
from typing import Any

import ansible.plugins.action
from ansible import constants as C
from ansible.plugins.loader import action_loader
from ansible.utils.display import Display

from ._baton import Baton
from ._compat.shard import Entry, Shard, send_failure

display = Display()

ACTIONS = os.path.dirname(os.path.abspath(ansible.plugins.action.__file__))
# Actions of ansible-core that sleep, or ask.
SLOW_ACTIONS = frozenset(('pause', 'reboot', 'wait_for_connection'))
# And those that use no connection.
WITHOUT_CONNECTION = frozenset(('add_host', 'assert', 'debug', 'fail', 'group_by', 'include_vars', 'set_fact',
                                'set_stats', 'validate_argument_spec'))
# Lookups of ansible-core that answer at once.
LOOKUPS = frozenset((
    'config', 'csvfile', 'dict', 'env', 'file', 'fileglob', 'first_found', 'indexed_items', 'ini',
    'inventory_hostnames', 'items', 'list', 'nested', 'password', 'random_choice', 'sequence', 'subelements',
    'template', 'together', 'unvault', 'varnames', 'vars'))
LOOKUP = re.compile(r'\b(?:lookup|query|q)\s*\(\s*(?:[\'"](?:ansible\.(?:builtin|legacy)\.)?(\w+)[\'"])?')
HERE = ('localhost', '127.0.0.1')


def action_of(task: Any) -> str | None:
    """The name of the task's action plugin in ansible-core, '' where it has none; None for any other plugin."""
    if '{{' in str(task.action):
        return None
    context = action_loader.find_plugin_with_context(str(task.action), collection_list=task.collections)
    if not context.resolved:
        return ''
    folder, name = os.path.split(os.path.abspath(str(context.plugin_resolved_path)))
    return os.path.splitext(name)[0] if folder == ACTIONS else None


def quick_lookups(task: Any) -> bool:
    """Do all lookups that the task names answer at once?"""
    if task.loop_with and str(task.loop_with).rpartition('.')[2] not in LOOKUPS:
        return False
    text = repr((task.args, task.loop, task.when, task.vars, task.environment, task.changed_when, task.failed_when))
    return all(name in LOOKUPS for name in LOOKUP.findall(text))


class Sharing:
    """Which tasks may share a worker, for the tasks of one play."""

    def __init__(self, connections: Any) -> None:
        # Names of connections that are ours.
        self._connections = connections
        self._known: dict[str, tuple[bool, bool]] = {}

    def may(self, entry: Entry) -> bool:
        task = entry.task
        if task._uuid not in self._known:
            self._known[task._uuid] = self._by_itself(task)
        shares, connects = self._known[task._uuid]
        return shares and (not connects or self._is_ours(task, entry.task_vars))

    @staticmethod
    def _by_itself(task: Any) -> tuple[bool, bool]:
        """(may it share as far as the task says, does it use a connection)."""
        action = action_of(task)
        control = task.loop_control
        waits = (task.timeout or task.throttle or task.run_once or task.until or task.debugger
                 or getattr(task, 'retries', None) or (control and control.pause)
                 or (task.async_val and task.poll))
        if action is None or action in SLOW_ACTIONS or waits or not quick_lookups(task):
            return False, True
        return True, action not in WITHOUT_CONNECTION

    def _is_ours(self, task: Any, variables: Any) -> bool:
        if task.delegate_to:
            return str(task.delegate_to) in HERE and not variables.get('ansible_delegated_vars')
        name = str(variables.get('ansible_connection') or task.connection)
        return name in self._connections


class Shared:
    """What of a strategy's tasks waits to be started together, and the workers that run several hosts."""

    def __init__(self, strategy: Any, methods: Any, connections: Any) -> None:
        self._strategy, self._methods = strategy, methods
        self._sharing = Sharing(connections)
        self._waiting: list[Entry] = []
        self._workers: list[Any] = []
        self._width = 1

    def queue(self, entry: Entry) -> None:
        """StrategyBase._queue_task."""
        strategy, forks = self._strategy, len(self._strategy._workers)
        number = min(number_of_workers(entry), forks)
        if strategy.debugger_active or not number or not self._sharing.may(entry):
            self._methods.queue_task(strategy, *entry)
            return
        self._waiting.append(entry)
        self._width = max(1, forks // number)
        strategy._pending_results += 1
        # The first worker begins while others' variables are put together.
        if len(self._waiting) * number >= len(strategy._hosts_cache):
            self.flush()

    def flush(self) -> None:
        """Start what waits."""
        entries, self._waiting = self._waiting, []
        self._strategy._pending_results -= len(entries)
        if len(entries) == 1:
            self._methods.queue_task(self._strategy, *entries[0])
        elif entries:
            self._start(entries, self._width)

    def _start(self, entries: list[Entry], width: int) -> None:
        strategy = self._strategy
        self._methods.shard = Shard(entries, width, Baton())
        self._methods.queue_task(strategy, *entries[0])
        if self._methods.shard is not None:  # it could not be queued, as is told when the play ends
            self._methods.shard = None
            return
        self._workers.append(self._methods.worker)
        # What queue_task does for the first.
        for entry in entries[1:]:
            strategy._queued_task_cache[entry.host.name, entry.task._uuid] = dict(zip(
                ('host', 'task', 'task_vars', 'play_context'), entry, strict=True))
            strategy._tqm.send_callback('v2_runner_on_start', entry.host, entry.task)
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


def has_ended(worker: Any) -> bool:
    try:
        return not worker.is_alive()
    except ValueError:  # whoever took its place has closed it
        return True


def number_of_workers(entry: Entry) -> int:
    """How many processes are to run a task on many hosts; 0: one for each."""
    wished = str(C.config.get_config_value('mitosis_workers', plugin_type='connection',
                                           plugin_name='mitosis.express.ssh', variables=entry.task_vars))
    if wished == 'stock':
        return 0
    return int(wished) if wished.isdigit() else os.cpu_count() or 1
