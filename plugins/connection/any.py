# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = """
name: any
author: Mitosis contributors (@mitosis-express)
short_description: Connect by any other connection plugin, accelerated
version_added: 0.1.0
description:
  - The variable C(mitosis_connection) names the plugin. One that runs a local command, as C(containers.podman.podman),
    C(community.docker.docker) and C(kubernetes.core.kubectl) do, is accelerated; what can't be goes its own way.
  - Takes all options of that plugin, by its own variables, and those of P(mitosis.express.ssh#connection) that begin
    with C(mitosis_).
options:
  mitosis_connection:
    description: Name of the connection plugin that leads to the host.
    type: str
    vars:
      - name: mitosis_connection
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase

# First: it makes the others cheap.
from ..plugin_utils import _import  # noqa: F401  # pylint: disable=unused-import
from ..plugin_utils._adapted import load
from ..plugin_utils._compat.callers import Maker
from ..plugin_utils._names import ANY, INNER


class Connection(ConnectionBase):
    """Stands for the plugin that is named, in all but where it was loaded from."""

    transport = ANY

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = Maker().told(INNER)
        if name in ('', ANY):
            raise AnsibleError(f'connection plugin {ANY}: the variable {INNER} has to name the connection plugin that '
                               'leads to the host')
        object.__setattr__(self, '_inner', load(name, *args, **kwargs))

    def __getattribute__(self, name: str) -> Any:
        inner = object.__getattribute__(self, '__dict__').get('_inner')
        return object.__getattribute__(self, name) if inner is None else getattr(inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if '_inner' not in object.__getattribute__(self, '__dict__'):
            object.__setattr__(self, name, value)
        elif name != '_load_name':  # by that one its options are found
            setattr(object.__getattribute__(self, '__dict__')['_inner'], name, value)

    def _connect(self) -> Any:
        raise NotImplementedError

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> Any:
        raise NotImplementedError

    def put_file(self, in_path: str, out_path: str) -> None:
        raise NotImplementedError

    def fetch_file(self, in_path: str, out_path: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to close until there is a plugin."""
