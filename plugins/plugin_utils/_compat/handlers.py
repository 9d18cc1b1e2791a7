"""Runs of action plugins of ansible-core, told to their connection, and run again if it wishes so.

TaskExecutor._get_action_handler_with_module_context(templar) returns the plugin whose `run` is called next, and
`_original_path` is where PluginLoader found it; ShellBase.tmpdir is the folder that actions have made: 2.16-2.21.
"""

from __future__ import annotations

import os
from typing import Any

from ansible.executor.task_executor import TaskExecutor

from .actions import ACTIONS

# What these do before their last request changes nothing here or on the target.
REPEATABLE = frozenset(('assemble', 'command', 'copy', 'fetch', 'normal', 'package', 'script', 'service', 'shell',
                        'template', 'unarchive', 'uri'))


def _repeatable(handler: Any) -> bool:
    folder, name = os.path.split(os.path.abspath(str(getattr(handler, '_original_path', ''))))
    return folder == ACTIONS and os.path.splitext(name)[0] in REPEATABLE


def install(again: type[BaseException]) -> None:
    """In a worker: runs of actions are within the connection's begin_action() and end_action(); `again` has it run anew
    without them."""
    stock = TaskExecutor._get_action_handler_with_module_context
    if stock.__name__ == 'get_handler':
        return

    def get_handler(self: Any, templar: Any) -> Any:
        handler, context = stock(self, templar)
        connection = self._connection
        if hasattr(connection, 'begin_action') and _repeatable(handler):
            _wrap(self, handler, connection, lambda: stock(self, templar)[0])
        return handler, context

    def _wrap(executor: Any, handler: Any, connection: Any, fresh: Any) -> None:
        run = handler.run

        def run_once_or_again(*args: Any, **kwargs: Any) -> Any:
            arguments, folder = dict(handler._task.args), connection._shell.tmpdir
            connection.begin_action()
            try:
                try:
                    return run(*args, **kwargs)
                finally:
                    connection.end_action()
            except again:
                connection.no_action()
            handler._task.args, connection._shell.tmpdir = arguments, folder
            executor._handler = fresh()
            return executor._handler.run(*args, **kwargs)
        handler.run = run_once_or_again
    TaskExecutor._get_action_handler_with_module_context = get_handler
