"""A connection to another host of the inventory, with that host's own variables, as a task on it would have.

What TaskExecutor does for a task: PlayContext from the command line; options of the connection, its shell and its
become plugin from `C.config.get_plugin_vars`; `hostvars`, which templates: 2.16-2.21.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader

from .callers import not_by_facts

Load = Callable[[str, Mapping[str, Any], Any, str], Any]


def connection_to(hosts: Any, name: str, typed: dict[str, str], load: Load) -> Any:
    """load(plugin's name, variables, play context, pid of the playbook) makes the connection; its attribute `become` is
    what its host's variables say, and nothing of the task's.  `typed`: 'password' and 'become_pass', as far as they
    were asked for on the command line, and so are for all hosts."""
    variables = hosts[name]
    for variable in ('mitosis_via', 'mitosis_connection'):
        not_by_facts(variable, variables)
    plugin = str(variables.get('ansible_connection') or C.DEFAULT_TRANSPORT)
    if plugin == 'smart':  # 2.16, 2.17
        plugin = 'ssh'
    context = PlayContext()
    context.remote_addr = str(variables.get('ansible_host') or name)
    context.connection = plugin
    if variables.get('ansible_port'):
        try:
            context.port = int(variables['ansible_port'])
        except (TypeError, ValueError):
            raise AnsibleError(f'{name}: ansible_port is no number: {variables["ansible_port"]!r}') from None
    user = variables.get('ansible_user') or variables.get('ansible_ssh_user')
    if user:
        context.remote_user = str(user)
    connection = load(plugin, variables, context, str(os.getppid()))
    keys: dict[str, Any] = {'timeout': context.timeout, **typed}
    context.password = typed.get('password', '')
    _set(connection, 'connection', variables, keys)
    _set(connection._shell, 'shell', variables, keys)
    try:
        becomes = boolean(variables.get('ansible_become') or False, strict=False)
    except TypeError:  # up to 2.18, of a list or the like
        raise AnsibleError(f'{name}: ansible_become is no boolean: {variables["ansible_become"]!r}') from None
    if becomes:
        method = str(variables.get('ansible_become_method') or C.DEFAULT_BECOME_METHOD)
        become = become_loader.get(method)
        if become is None:
            raise AnsibleError(f"{name}: the become plugin '{method}' was not found")
        _set(become, 'become', variables, keys)
        connection.set_become_plugin(become)
    return connection


def _set(plugin: Any, kind: str, variables: Mapping[str, Any], keys: dict[str, Any]) -> None:
    plugin.set_options(task_keys=keys, var_options={
        name: variables[name] for name in C.config.get_plugin_vars(kind, plugin._load_name) if name in variables})
