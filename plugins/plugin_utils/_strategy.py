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
from ._baton import Baton
from ._compat import Unknown, not_supported, supported
from ._compat.rehearsal import Rehearsal
from ._compat.scheduling import Arrivals, Shared
from ._compat.shard import Entry
from ._compat.strategy import ConnectionLoader, Loaders, Methods, pose_as
from ._connection import Express
from ._shards import WITHOUT_CONNECTION, Sharing, number_of_workers

display = Display()

# Anything in this variable has the play's last line printed always.
SUMMARY = 'MITOSIS_SUMMARY'

NAMES = {prefix + name: 'mitosis.express.' + name
         for name in ('ssh', 'local') for prefix in ('', 'ansible.builtin.', 'ansible.legacy.')}

# Seconds until it is looked whether a worker has died.
PATIENCE = 0.05

_starting: subprocess.Popen[bytes] | None = None


def made(connection: Any, name: str) -> None:
    """A connection was made under this name."""
    if isinstance(connection, Express):
        connection.show_as(name)
    else:
        _count_uses(connection, name)


def _count_uses(connection: Any, name: str) -> None:
    """Count a task run on a connection that is not ours, if it runs anything."""
    stock_exec, stock_close = connection.exec_command, connection.close
    used = []

    def exec_command(*args: Any, **kwargs: Any) -> Any:
        used.append(True)
        return stock_exec(*args, **kwargs)

    def close() -> Any:
        if used:
            used.clear()
            _runtime.count(f'{name} connection')
        return stock_close()
    connection.exec_command, connection.close = exec_command, close


def imitate(connection: Any, name: str) -> None:
    """A connection was made for a rehearsal: it runs nothing."""
    made(connection, name)

    def exec_command(cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        connection.rehearse(cmd, in_data)
        return 0, b'{}', b''
    connection.exec_command = exec_command
    connection.put_file = connection.fetch_file = lambda in_path, out_path: None


# Once for a process, as what it is for.
_rehearsal = Rehearsal(Loaders(ConnectionLoader(NAMES, imitate)))


class Accelerated:
    """Mixin: put it before a stock StrategyModule."""

    def __init__(self, tqm: Any) -> None:
        super().__init__(tqm)  # type: ignore[call-arg]
        self._methods: Any = None
        # None: not yet.
        self._shared: Shared | bool | None = None
        self._first: Entry | None = None
        self._arrivals: Any = None
        # Is a result all that is waited for?
        self._patient = False
        if not supported():
            display.warning(not_supported())
            return
        try:
            self._methods = Methods(Loaders(ConnectionLoader(NAMES, made)))
            self._arrivals = Arrivals(self)
            for name in NAMES.values():
                connection_loader.get(name, class_only=True)
            self._start()
        except (Unknown, OSError) as e:
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
        if _starting is not None and str(task.action).rpartition('.')[2] not in WITHOUT_CONNECTION:
            self._await_multiplexer()
        if self._shared is None:
            self._shared = self._share()
        if self._first is None:
            self._first = entry
        elif entry.task._uuid != self._first.task._uuid:
            name = str(self._first.task_vars.get('ansible_connection') or self._first.task.connection)
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
            sharing = Sharing({*NAMES, *NAMES.values()})
            return Shared(self, self._methods, sharing.may, number_of_workers, Baton)
        except Unknown as e:
            display.warning(f'mitosis: {e}; each host has a worker of its own')
            return False

    def _process_pending_results(self, iterator: Any, one_pass: bool = False, max_passes: Any = None) -> Any:
        # With a limit, more hosts are about to be queued.
        if max_passes is None:
            if isinstance(self._shared, Shared):
                self._shared.flush()
                self._shared.mourn()
            starts = isinstance(self._shared, Shared) and self._shared.has_waiting()
            if self._patient and not starts:
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

    def run(self, iterator: Any, play_context: Any) -> Any:
        pose_as(iterator, type(self).__module__.rpartition('.')[2])
        try:
            return super().run(iterator, play_context)  # type: ignore[misc]
        finally:
            if isinstance(self._shared, Shared):
                self._shared.end()
            line, complete = _runtime.summary()
            # Programs read Ansible's stderr: it has a line more only where somebody sees it, or has to.
            if line and (not complete or display.verbosity >= 3 or sys.stderr.isatty() or os.environ.get(SUMMARY)):
                display.display(line, stderr=True)
