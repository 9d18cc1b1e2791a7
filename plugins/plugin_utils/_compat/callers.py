"""Who calls a connection plugin.

ActionBase._low_level_execute_command, and `run` of the actions `raw` and `script`, which call it for the task's own
command and nothing else; TaskExecutor._run_loop: 2.16-2.21.
"""

from __future__ import annotations

import sys

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
