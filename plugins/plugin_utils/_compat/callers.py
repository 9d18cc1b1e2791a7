"""Who calls a connection plugin.

ActionBase._low_level_execute_command, and `run` of the actions `raw` and `script`, which call it for the task's own
command and nothing else; TaskExecutor._run_loop: 2.16-2.21.
Who makes a connection has the variables of its host: `cvars` of TaskExecutor._get_connection, `all_vars` of
StrategyBase._execute_meta, and a `templar`: 2.16-2.21.
"""

from __future__ import annotations

import sys
from typing import Any

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


def hosts_of_caller() -> Any:
    """`hostvars` of the task that a connection is being made for, or None."""
    found = _maker()
    return (found.get('cvars') or found.get('all_vars') or {}).get('hostvars')


def variable_of_caller(name: str) -> Any:
    """A variable of the host that a connection is being made for, or None."""
    found = _maker()
    variables = found.get('cvars') or found.get('all_vars') or {}
    return found['templar'].template(variables[name]) if name in variables and 'templar' in found else None
