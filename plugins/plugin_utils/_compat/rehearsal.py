"""Tasks that do nothing, run once where workers are forked from.  What stock finds out and keeps for later (where
plugins are, filters, type hints, the lexer of templates, a module's zip file) each worker then has.

TaskExecutor: 2.16-2.21, with these arguments; its `run` sends the result nowhere.
Display._final_q: where messages go if it is true, 2.16-2.21.
PlayIterator._blocks: 2.16-2.21.
"""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ansible.modules
import ansible.plugins
from ansible.executor.task_executor import TaskExecutor
from ansible.inventory.host import Host
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import filter_loader, module_loader, test_loader
from ansible.utils.display import Display

from . import Unknown
from .actions import action_of
from .shard import task_context

try:
    from ansible.template import trust_as_template
except ImportError:  # before 2.19 everything is
    def trust_as_template(value: Any) -> Any:
        return value

display = Display()

PLUGINS = os.path.dirname(os.path.abspath(ansible.plugins.__file__)) + os.sep
MODULES = os.path.dirname(os.path.abspath(ansible.modules.__file__))
# What action plugins of ansible-core run first.
COMMAND = {'action': 'ansible.legacy.command', 'args': {'_raw_params': 'true'}}
RUNS: dict[str | None, dict[str, Any]] = {
    'gather_facts': {'action': 'ansible.legacy.setup'}, 'command': COMMAND, 'shell': COMMAND}

# What has documentation among the modules, but is none.
NO_MODULES = frozenset(('meta', 'include', 'include_tasks', 'include_role', 'import_tasks', 'import_role'))

VARIABLES = {'ansible_python_interpreter': '/usr/bin/python3', 'ansible_host': 'rehearsal',
             'inventory_hostname': 'rehearsal', 'rehearsed': 1}


class _Nowhere:
    """A queue that forgets, and is there for this thread only: another one displays what workers say."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def __bool__(self) -> bool:
        return threading.get_ident() == self._thread

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: None


@contextmanager
def _silence() -> Iterator[None]:
    if not hasattr(display, '_final_q'):
        raise Unknown('Display._final_q')
    before, display._final_q = display._final_q, _Nowhere()
    try:
        yield
    finally:
        display._final_q = before


class Rehearsal:
    """`loaders`: where plugins come from, with connections that answer at once."""

    def __init__(self, loaders: Any) -> None:
        self._loaders = loaders
        self._done: set[str] = set()

    def _first(self, what: str) -> bool:
        first = what not in self._done
        self._done.add(what)
        return first

    def run(self, idle: bool, iterator: Any, first: Any, loader: Any, variable_manager: Any, connection: str) -> None:
        """Once a template; where there is time (`idle`), once filters, and the first module of a play that has one.

        `first`: the play's first task, `connection`: the name of its connection.  Raises nothing: it is for speed.
        """
        tasks = []
        try:
            if self._first('templates'):
                tasks.append(debug('{{ rehearsed }}'))
            if idle and self._first('filters') and not _others():
                tasks.append(debug('{{ rehearsed | default(2) }}'))
            module = None if not idle or 'module' in self._done else first_module(iterator, first)
            if module:
                self._done.add('module')
                tasks.append(module)
            with _silence():
                for task in tasks:
                    self._run(task, loader, variable_manager, connection)
        except Exception as e:
            display.vvv(f'MITOSIS: no rehearsal: {e!r}')

    def _run(self, data: dict[str, Any], loader: Any, variable_manager: Any, connection: str) -> None:
        task = Task.load(_trusted(data), block=Block(play=Play()), loader=loader)
        host, variables = Host(VARIABLES['inventory_hostname']), dict(VARIABLES, ansible_connection=connection)
        known = {'host': host, 'task': task, 'job_vars': variables, 'play_context': PlayContext(), 'new_stdin': None,
                 'loader': loader, 'shared_loader_obj': self._loaders, 'final_q': _Nowhere(),
                 'variable_manager': variable_manager}
        with task_context(host, task, variables):
            TaskExecutor(**{name: known[name] for name in inspect.signature(TaskExecutor).parameters}).run()


def debug(message: str) -> dict[str, Any]:
    return {'action': 'ansible.builtin.debug', 'args': {'msg': message}, 'when': 'rehearsed == 1'}


def _others() -> bool:
    """Are there filters or tests that may have something to say as they are loaded?"""
    folders = [folder for loader in (filter_loader, test_loader) for folder in loader.print_paths().split(os.pathsep)]
    return any(os.path.isdir(folder) and not os.path.abspath(folder).startswith(PLUGINS) for folder in folders)


def _trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    return trust_as_template(value)


def first_module(iterator: Any, first: Any) -> dict[str, Any] | None:
    """A task that runs the first module of the play, if that is ansible-core's."""
    for task in [first, *_tasks(iterator._blocks)]:
        action = action_of(task)
        if action in RUNS:
            # Each play has this task, and only some begin with it.
            if action != 'gather_facts' or task is first:
                return RUNS[action]
        elif action == '' and str(task.action).rpartition('.')[2] not in NO_MODULES:
            path = module_loader.find_plugin(str(task.action), collection_list=task.collections)
            if path and os.path.dirname(os.path.abspath(path)) == MODULES:
                return {'action': str(task.action)}
    return None


def _tasks(blocks: Any) -> Iterator[Any]:
    for block in blocks:
        for one in block.block:
            if isinstance(one, Block):
                yield from _tasks([one])
            else:
                yield one
