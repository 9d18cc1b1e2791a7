"""Who calls a connection plugin.

ActionBase._low_level_execute_command, and `run` of the actions `raw` and `script`, which call it for the task's own
command and nothing else; TaskExecutor._run_loop: 2.16-2.21.
Who makes a connection has the variables of its host: `cvars` of TaskExecutor._get_connection, `all_vars` of
StrategyBase._execute_meta, and a `templar`: 2.16-2.21.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from ansible.errors import AnsibleError

ACTIONS = ('ansible.plugins.action.raw', 'ansible.plugins.action.script')


def runs_the_tasks_command() -> bool:
    """Is what is being executed the command of a task `raw` or `script`, and not a helper's?"""
    frame = sys._getframe(1)
    while frame and frame.f_code.co_name != '_low_level_execute_command':
        if frame.f_back is None:
            return False
        frame = frame.f_back
    caller = frame.f_back
    return caller is not None and caller.f_code.co_name == 'run' and caller.f_globals.get('__name__') in ACTIONS


def item_is_running() -> bool:
    """Is whoever calls at work for an item of a loop?"""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_name != '_run_loop':
        frame = frame.f_back
    return frame.f_back is not None


def _maker() -> dict[str, Any]:
    """The variables of the function that has a connection made, if one does."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_name not in ('_get_connection', '_execute_meta'):
        frame = frame.f_back
    return dict(frame.f_locals) if frame.f_back else {}


class Maker:
    """What is known where a connection is made: `hosts` (hostvars), `delegated` (the host that it is for, if that is
    not the task's own), `variables` of the host that it is for."""

    def __init__(self) -> None:
        found = _maker()
        self.variables: dict[str, Any] = found.get('cvars') or found.get('all_vars') or {}
        self._templar = found.get('templar')
        self.hosts = self.variables.get('hostvars')
        task = getattr(found.get('self'), '_task', None) if 'cvars' in found else None
        self.delegated = str(getattr(task, 'delegate_to', None) or '')

    def told(self, name: str) -> str:
        """A variable, templated.  Raises AnsibleError where it is the host itself that says so, by its facts, which win
        over the inventory."""
        if name not in self.variables or self._templar is None:
            return ''
        not_by_facts(name, self.variables)
        return str(self._templar.template(self.variables[name]) or '')

    def has_password(self, pattern: re.Pattern[str]) -> bool:
        """Does a variable give one?"""
        return any(pattern.match(name) for name in self.variables)


def not_by_facts(name: str, variables: Any) -> None:
    facts = variables.get('ansible_facts') if 'ansible_facts' in variables else None
    if facts and name in facts:
        raise AnsibleError(f'{variables["inventory_hostname"]}: {name} comes from facts that the host has told of '
                           'itself, and does not count')
