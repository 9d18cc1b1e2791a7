"""What our strategies add to the stock ones: connections by their usual names are accelerated, and the play's end says
how many were."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from ansible.plugins.loader import connection_loader
from ansible.utils.display import Display

from ...mitogen_core.controller import supervisor
from ...mitogen_core.controller.client import SOCKET, StartError
from . import _runtime
from ._adapted import accelerates, adapt
from ._baton import Baton, waiting
from ._compat import Unknown, not_supported, supported
from ._compat.building import Builder
from ._compat.building import folder as building_folder
from ._compat.callers import Maker
from ._compat.rehearsal import Rehearsal
from ._compat.scheduling import Arrivals, Shared
from ._compat.shard import Entry
from ._compat.strategy import ConnectionLoader, Loaders, Methods, pose_as
from ._connection import Express
from ._names import NAMES
from ._shards import WITHOUT_CONNECTION, Sharing, number_of_workers

display = Display()

# Anything in this variable has the play's last line printed always.
SUMMARY = 'MITOSIS_SUMMARY'

# Seconds until it is looked whether a worker has died.
PATIENCE = 0.05

_starting: subprocess.Popen[bytes] | None = None


def made(connection: Any, name: str) -> Any:
    """What to use of a connection that was made under this name."""
    if isinstance(connection, Express):
        connection.show_as(name)
        return connection
    found = adapt(connection)
    if found is connection:
        _count_uses(connection, name)
    return found


def _count_uses(connection: Any, name: str) -> None:
    """Count a task run on a connection that is not ours, if it runs anything."""
    stock_exec, stock_close = connection.exec_command, connection.close
    used = []
    if Maker().variables.get('mitosis_via'):
        display.warning(f'mitosis_via does not count for connections by {name}, which starts no command')

    def exec_command(*args: Any, **kwargs: Any) -> Any:
        used.append(True)
        with waiting():
            return stock_exec(*args, **kwargs)

    def close() -> Any:
        if used:
            used.clear()
            _runtime.count(f'{name} connection')
        return stock_close()
    connection.exec_command, connection.close = exec_command, close


LOADERS = Loaders(ConnectionLoader(NAMES, made))
# Once for a process, as what it is for.
_rehearsal = Rehearsal(LOADERS)


class Accelerated:
    """Mixin: put it before a stock StrategyModule."""

    def __init__(self, tqm: Any) -> None:
        super().__init__(tqm)  # type: ignore[call-arg]
        self._methods: Any = None
        # None: not yet.
        self._shared: Shared | bool | None = None
        # The first task's id.
        self._first = ''
        self._arrivals: Any = None
        # Is a result all that is waited for?
        self._patient = False
        self._builder: Any = None
        if not supported():
            display.warning(not_supported())
            return
        try:
            self._methods = Methods(LOADERS)
            self._arrivals = Arrivals(self)
            for name in NAMES.values():
                connection_loader.get(name, class_only=True)
            self._start()
        except (Unknown, StartError, OSError) as e:
            self._methods = None
            display.warning(f'mitosis: {e}; everything runs the stock way')

    @staticmethod
    def _start() -> None:
        """Have a multiplexer coming up while the play is being prepared."""
        global _starting
        folder = _runtime.folder()
        if _starting is None and not os.path.exists(os.path.join(folder, SOCKET)):
            _starting = supervisor.start(folder, os.getpid(), _runtime.log())

    def _queue_task(self, host: Any, task: Any, task_vars: Any, play_context: Any) -> Any:
        if self._methods is None:
            return super()._queue_task(host, task, task_vars, play_context)  # type: ignore[misc]
        entry = Entry(host, task, task_vars, play_context)
        if str(task.action).rpartition('.')[2] not in WITHOUT_CONNECTION:
            self._await_multiplexer()
        if self._shared is None:
            self._shared = self._share()
        self._first = self._first or task._uuid
        _runtime.first_task = task._uuid == self._first
        if self._builder:
            self._builder.check()
        if task._uuid != self._first:
            name = str(task_vars.get('ansible_connection') or task.connection)
            _rehearsal.run(self._loader, self._variable_manager,  # type: ignore[attr-defined]
                           name if name in NAMES else 'ssh')
        if not isinstance(self._shared, Shared):
            return self._methods.queue_task(self, *entry)
        return self._shared.queue(entry)

    @staticmethod
    def _await_multiplexer() -> None:
        global _starting
        if _starting is not None:
            process, _starting = _starting, None
            try:
                supervisor.ready(process)
            except StartError as e:
                display.warning(f'mitosis: {e}')

    def _share(self) -> Shared | bool:
        try:
            sharing = Sharing(accelerates)
            return Shared(self, self._methods, sharing.may, number_of_workers, Baton)
        except Unknown as e:
            display.warning(f'mitosis: {e}; each host has a worker of its own')
            return False

    def _process_pending_results(self, iterator: Any, one_pass: bool = False, max_passes: Any = None) -> Any:
        # With a limit, more hosts are about to be queued.
        if max_passes is None:
            shared = self._shared if isinstance(self._shared, Shared) else None
            if shared:
                shared.flush()
                shared.mourn()
            if self._patient and not (shared and shared.has_waiting()):
                self._arrivals.wait(PATIENCE)
        return super()._process_pending_results(iterator, one_pass, max_passes)  # type: ignore[misc]

    def _wait_on_pending_results(self, iterator: Any) -> Any:
        self._patient = self._arrivals is not None
        try:
            return super()._wait_on_pending_results(iterator)  # type: ignore[misc]
        finally:
            self._patient = False

    def _execute_meta(self, *args: Any, **kwargs: Any) -> Any:
        if self._methods is None:
            return super()._execute_meta(*args, **kwargs)  # type: ignore[misc]
        return self._methods.execute_meta(self, *args, **kwargs)

    def _build(self, iterator: Any) -> None:
        if self._methods is None:
            return
        try:
            self._builder = Builder(building_folder(_runtime.folder()))
            self._builder.start(iterator)
        except (AttributeError, StartError, OSError) as e:
            display.vvv(f'MITOSIS: modules are not built ahead: {e!r}')

    def run(self, iterator: Any, play_context: Any) -> Any:
        pose_as(iterator, type(self).__module__.rpartition('.')[2])
        try:
            self._build(iterator)
            return super().run(iterator, play_context)  # type: ignore[misc]
        finally:
            if self._builder:
                self._builder.end()
            line, complete = _runtime.summary()
            # Programs read Ansible's stderr: it has a line more only where somebody sees it, or has to.
            if line and (not complete or display.verbosity >= 3 or sys.stderr.isatty() or os.environ.get(SUMMARY)):
                display.display(line, stderr=True)
