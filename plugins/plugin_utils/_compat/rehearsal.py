"""A task that does nothing, run once where workers are forked from.  What stock finds out and keeps for later (where
plugins are, type hints, the lexer of templates) each worker then has.  Filters and modules are left to workers: what
these find may change during the run.

TaskExecutor: 2.16-2.21, with these arguments; its `run` sends the result nowhere.
Display._final_q: where messages go if it is true, 2.16-2.21.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.executor.task_executor import TaskExecutor
from ansible.inventory.host import Host
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
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

NAME = 'rehearsal'
TASK = {'action': 'ansible.builtin.debug', 'args': {'msg': trust_as_template('{{ rehearsed }}')},
        'when': trust_as_template('rehearsed == 1')}


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
    """`loaders`: where plugins come from."""

    def __init__(self, loaders: Any) -> None:
        self._loaders, self._done = loaders, False

    def run(self, loader: Any, variable_manager: Any, connection: str) -> None:
        """Once.  `connection`: the name of the play's.  Raises nothing: it is for speed."""
        if self._done:
            return
        self._done = True
        try:
            with _silence():
                self._run(loader, variable_manager, connection)
        except (Exception, SystemExit) as e:
            display.vvv(f'MITOSIS: no rehearsal: {e!r}')

    def _run(self, loader: Any, variable_manager: Any, connection: str) -> None:
        task, host = Task.load(TASK, block=Block(play=Play()), loader=loader), Host(NAME)
        if action_of(task) != 'debug':
            raise Unknown("debug is not ansible-core's")
        variables = {'ansible_connection': connection, 'ansible_host': NAME, 'inventory_hostname': NAME, 'rehearsed': 1}
        known = {'host': host, 'task': task, 'job_vars': variables, 'play_context': PlayContext(), 'new_stdin': None,
                 'loader': loader, 'shared_loader_obj': self._loaders, 'final_q': _Nowhere(),
                 'variable_manager': variable_manager}
        with task_context(host, task, variables):
            TaskExecutor(**{name: known[name] for name in inspect.signature(TaskExecutor).parameters}).run()
