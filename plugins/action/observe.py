# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs another action and says what it returned, how long it took and which way it went.  See modules/observe.py."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

from ..plugin_utils._connection import Express

# Task runs that were accelerated are counted under this name.
ACCELERATED = ''


class ActionModule(ActionBase):
    """Never fails by what the other action returns, so that failures can be compared too."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset(('module', 'parameters'))
    _supports_async = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = super().run(None, task_vars)
        if not self._task.args.get('module'):
            raise AnsibleActionFail('observe needs the name of a module')
        connection = self._connection
        before = getattr(connection, '_count', None)
        if isinstance(connection, Express):
            connection._count = None
        started = time.time()
        clock = time.monotonic()
        result = self._observed(task_vars)
        seconds = time.monotonic() - clock
        answer.update(changed=False, result=result, started=started, ended=started + seconds, seconds=seconds,
                      way=self._way())
        # Up to 2.18 a discovered interpreter is remembered by way of the result.
        found = {key: value for key, value in (result.get('ansible_facts') or {}).items()
                 if key.startswith('discovered_interpreter_')}
        if found:
            answer['ansible_facts'] = found
        if isinstance(connection, Express) and connection._count is None:
            connection._count = before
        return dict(answer)

    def _observed(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        try:
            action = self._other()
            try:
                result = dict(action.run(task_vars=task_vars))
            finally:
                action.cleanup()
        except AnsibleConnectionFailure as e:
            return {'unreachable': True, 'msg': str(e)}
        except AnsibleError as e:
            result = {'failed': True, 'msg': str(e), **(getattr(e, 'result', None) or {})}
        return {key: value for key, value in result.items() if not key.startswith('_ansible_')}

    def _other(self) -> Any:
        """What a task of that name would be handled by."""
        name = str(self._task.args['module'])
        task = self._task.copy()
        task.action = name
        task.args = dict(self._task.args.get('parameters') or {})
        loader = self._shared_loader_obj.action_loader
        collections = task.collections
        if not loader.has_plugin(name, collection_list=collections):
            name, collections = 'ansible.legacy.normal', None
        action = loader.get(name, task=task, connection=self._connection, play_context=self._play_context,
                            loader=self._loader, templar=self._templar, shared_loader_obj=self._shared_loader_obj,
                            collection_list=collections)
        if action is None:
            raise AnsibleActionFail(f'there is no action {name}')
        return action

    def _way(self) -> str | None:
        """'' where it was accelerated, else why not; None if the connection had nothing to do."""
        connection = self._connection
        if isinstance(connection, Express):
            return connection._count
        name = getattr(connection, 'ansible_name', None) or connection.transport
        # Our strategies count the uses of connections that they leave alone.
        if 'exec_command' in vars(connection):
            return f'{name} connection'
        return f'connection {name} under a strategy that is not of mitosis.express'
