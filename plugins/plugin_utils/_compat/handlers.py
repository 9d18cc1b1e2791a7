"""Runs of action plugins of ansible-core, told to their connection, and run again if it wishes so.

TaskExecutor._get_action_handler_with_module_context(templar) returns the plugin whose `run` is called next; the action
`template` gets `copy` from its `_shared_loader_obj`; `_original_path` is where PluginLoader found a plugin;
ShellBase.tmpdir is the folder that actions have made: 2.16-2.21.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.executor.task_executor import TaskExecutor

from .actions import ACTIONS, name_in
from .copies import foresee, is_folder
from .templates import renders_alike

# These ask for something on the target.
REMOTE = frozenset(('gather_facts', 'template'))
# What these do before their last request changes nothing here or on the target.
REPEATABLE = frozenset(('assemble', 'command', 'copy', 'fetch', 'normal', 'package', 'script', 'service', 'shell',
                        'unarchive', 'uri'))


def _core_name(handler: Any) -> str | None:
    """The name of a plugin of ansible-core, None for others."""
    return name_in(ACTIONS, getattr(handler, '_original_path', None))


class _Loaders:
    """A plugin's loaders, of which action_loader.get(...) returns plugins whose runs are told."""

    def __init__(self, loaders: Any, told: Callable[[Any, Callable[[], Any]], Any]) -> None:
        self._loaders, self._told = loaders, told

    def __getattr__(self, name: str) -> Any:
        return self if name == 'action_loader' else getattr(self._loaders, name)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        def fresh() -> Any:
            return self._loaders.action_loader.get(*args, **kwargs)
        return self._told(fresh(), fresh)


def install(again: type[BaseException]) -> None:
    """In a worker: have runs of actions begin and end by the connection's begin_action() and end_action(), after
    will_be_used(); `again` has one run anew without them.
    """
    stock = TaskExecutor._get_action_handler_with_module_context
    if stock.__name__ == 'get_handler':
        return

    def get_handler(self: Any, templar: Any) -> Any:
        handler, context = stock(self, templar)
        connection = self._connection
        if not hasattr(connection, 'begin_action'):
            return handler, context

        def told(one: Any, fresh: Callable[[], Any]) -> Any:
            name = connection.acting = _core_name(one)
            if name in REPEATABLE:
                foresee(name, one, connection, again)
                one.run = _Told(one, connection, fresh, again)
            return one

        def fresh() -> Any:
            self._handler = stock(self, templar)[0]
            return self._handler
        told(handler, fresh)
        if connection.acting in REPEATABLE | REMOTE:
            connection.will_be_used()
        if connection.acting == 'template':
            # What it copies may be copied twice, whatever it renders.
            handler._shared_loader_obj = _Loaders(handler._shared_loader_obj, told)
            handler.run = _Told(handler, connection, fresh, again, renders_alike)
        return handler, context
    TaskExecutor._get_action_handler_with_module_context = get_handler


class _Told:
    """In place of a plugin's `run`."""

    def __init__(self, handler: Any, connection: Any, fresh: Callable[[], Any], again: type[BaseException],
                 repeatable: Callable[[Any, Any], bool] | None = None) -> None:
        """`repeatable(handler, variables)`: may it be run again?"""
        self._handler, self._connection, self._fresh, self._again = handler, connection, fresh, again
        self._run, self._repeatable = handler.run, repeatable

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        task, connection = self._handler._task, self._connection
        # Within another's run it is that one that is run again.
        if connection.acts():
            return self._run(*args, **kwargs)
        if connection.acting == 'copy' and connection.is_ahead() and is_folder(self._handler):
            connection.only_in_turn()
        if self._repeatable and not self._repeatable(self._handler, kwargs.get('task_vars')):
            connection.only_in_turn()
            return self._run(*args, **kwargs)
        arguments, folder = dict(task.args), connection._shell.tmpdir
        connection.begin_action(bool(task.async_val))
        try:
            return connection.concluded(lambda: self._run(*args, **kwargs))
        except self._again:
            connection.no_action()
        except Exception:
            raise
        except BaseException:  # the task's time is up, or the user ends it
            connection.no_action()
            raise
        task.args, connection._shell.tmpdir = arguments, folder
        return self._fresh().run(*args, **kwargs)
