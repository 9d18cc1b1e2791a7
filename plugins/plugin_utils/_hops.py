"""Hosts of the inventory that others are reached through: docs/connections.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError

from ._adapted import load
from ._compat import hops
from ._connection import Express
from ._names import ANY, INNER


def connection_to(hosts: Any, name: str, host: str, typed: dict[str, str]) -> Any:
    """The connection to the host `name`, through which `host` is reached; it is one of ours."""
    if hosts is None or name not in hosts:
        raise AnsibleError(f'{host} is to be reached through {name} (mitosis_via), which is not in the inventory')
    found = hops.connection_to(hosts, name, typed, _load)
    found.interpreter = str(hosts[name].get('ansible_python_interpreter') or '')
    return found


def _load(plugin: str, variables: Mapping[str, Any], context: Any, pid: str) -> Any:
    if plugin == ANY:
        plugin = str(variables[INNER])
    connection = load(plugin, context, new_stdin=None, ansible_playbook_pid=pid)
    if not isinstance(connection, Express):
        raise AnsibleError(f'{context.remote_addr}: nothing can be reached through a connection by {plugin}')
    return connection
