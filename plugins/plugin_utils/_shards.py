"""Which tasks may share a worker, and how many workers there are: docs/decisions/0012-shard-workers.md."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from typing import Any

from ansible import constants as C

from ...mitogen_core.controller.client import PROFILE
from ._compat.actions import action_of
from ._compat.shard import Entry
from ._names import ANY, INNER

# Actions of ansible-core that are for one host at a time (by now or in the end), or take long.
SLOW_ACTIONS = frozenset(('add_host', 'pause', 'reboot', 'wait_for_connection'))
# And those that use no connection.
WITHOUT_CONNECTION = frozenset(('assert', 'debug', 'fail', 'group_by', 'include_vars', 'set_fact',
                                'set_stats', 'validate_argument_spec'))
# Lookups of ansible-core that answer at once.
LOOKUPS = frozenset((
    'config', 'csvfile', 'dict', 'env', 'file', 'fileglob', 'first_found', 'indexed_items', 'ini',
    'inventory_hostnames', 'items', 'list', 'nested', 'password', 'random_choice', 'sequence', 'subelements',
    'template', 'together', 'unvault', 'varnames', 'vars'))
LOOKUP = re.compile(r'\b(?:lookup|query|q)\s*\(\s*(?:[\'"](?:ansible\.(?:builtin|legacy)\.)?(\w+)[\'"])?')
HERE = ('localhost', '127.0.0.1')


def quick_lookups(task: Any) -> bool:
    """Do all lookups that the task names answer at once?"""
    if task.loop_with and str(task.loop_with).rpartition('.')[2] not in LOOKUPS:
        return False
    text = repr((task.args, task.loop, task.when, task.vars, task.environment, task.changed_when, task.failed_when))
    return all(name in LOOKUPS for name in LOOKUP.findall(text))


class Sharing:
    """Which tasks may share a worker, for the tasks of one play."""

    def __init__(self, accelerates: Callable[[str], bool]) -> None:
        # Does a connection by this name become one of ours?
        self._accelerates = accelerates
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
        if name == ANY:
            name = str(variables.get(INNER, ''))
        return self._accelerates(name)


def number_of_workers(entry: Entry) -> int:
    """How many processes are to run a task on many hosts; 0: one for each."""
    if PROFILE in os.environ:  # a profile is of one task
        return 0
    of_host = entry.task_vars.get('mitosis_workers')
    wished = _configured() if of_host is None else str(of_host)
    if wished == 'stock':
        return 0
    return int(wished) if re.fullmatch('[0-9]{1,6}', wished) else os.cpu_count() or 1


@functools.cache
def _configured() -> str:
    return str(C.config.get_config_value('mitosis_workers', plugin_type='connection',
                                         plugin_name='mitosis.express.ssh'))
