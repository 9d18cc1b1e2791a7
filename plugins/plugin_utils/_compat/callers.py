"""Who calls a connection plugin.

ActionBase._low_level_execute_command, and `run` of the actions `raw` and `script`, which call it for the task's own
command and nothing else; TaskExecutor._run_loop: 2.16-2.21.
Who makes a connection, or gives it its options, has the variables of its host: `cvars` of TaskExecutor._get_connection,
`variables` of _set_connection_options, `all_vars` of StrategyBase._execute_meta, and a `templar`: 2.16-2.21.
INTERPRETER_PYTHON, which ansible-core looks up in the variables of a host and in facts: 2.16-2.21.
MAGIC_VARIABLE_MAPPING, which PlayContext takes passwords by: 2.16-2.21.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ansible import constants as C
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


# Where a connection is made, and where it is given its options: names of functions, and of the variables of its host.
_MAKERS = {'_get_connection': 'cvars', '_set_connection_options': 'variables', '_execute_meta': 'all_vars'}


class Maker:
    """What is known where a connection is made or given its options: `variables` of the host that it is for, `hosts`
    (hostvars), `delegated` (that host's name, if it is not the task's own)."""

    def __init__(self) -> None:
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_name not in _MAKERS:
            frame = frame.f_back
        found = dict(frame.f_locals) if frame.f_back else {}
        self.variables: dict[str, Any] = found.get(_MAKERS.get(frame.f_code.co_name, '')) or {}
        self._templar = found.get('templar')
        self.hosts = self.variables.get('hostvars')
        task = None if 'all_vars' in found else getattr(found.get('self'), '_task', None)
        self.delegated = str(getattr(task, 'delegate_to', None) or '')

    def told(self, name: str) -> str:
        """A variable, templated now.  Raises AnsibleError as not_by_facts."""
        not_by_facts(name, self.variables)
        if name not in self.variables or self._templar is None:
            return ''
        return str(self._templar.template(self.variables[name]) or '')

    def interpreter(self) -> str | None:
        """The Python of its host, '' where that is yet to be discovered, None where it is not known."""
        facts = self.variables.get('ansible_facts') or {}
        found = str(C.config.get_config_value('INTERPRETER_PYTHON', variables=self.variables))
        if found.startswith('auto'):
            found = str(facts.get('discovered_interpreter_python') or '')
        return None if '{{' in found or self.delegated else found

    def has_password(self, kind: str) -> bool:
        """Does its host have one of its own, of the kind 'password' or 'become_pass'?"""
        return any(name in self.variables for name in C.MAGIC_VARIABLE_MAPPING[kind])


def not_by_facts(name: str, variables: Any) -> None:
    """Raises AnsibleError where it is the host itself that says this, by its facts, which win over the inventory."""
    facts = variables.get('ansible_facts') if 'ansible_facts' in variables else None
    if isinstance(facts, Mapping) and name in facts:
        raise AnsibleError(f'{variables["inventory_hostname"]}: {name} comes from facts that the host has told of '
                           'itself, and does not count')
