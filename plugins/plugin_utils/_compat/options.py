"""Option definitions of our plugins: those of the stock plugins, as ansible-core's configuration has them, and ours.

`C.config` and its plugin definitions: 2.16-2.21.  WORKER_SESSION_ISOLATION: 2.21.
"""

from __future__ import annotations

import copy
from typing import Any

from ansible import constants as C
from ansible.plugins.loader import connection_loader

from . import Unknown


def _option(name: str, kind: str, default: Any, text: str, **more: Any) -> dict[str, Any]:
    """The definition of option mitosis_NAME, which has a variable of the environment, a line of the configuration and a
    variable of that name."""
    return {'description': [text], 'type': kind, 'default': default, **more,
            'env': [{'name': f'MITOSIS_{name.upper()}'}], 'ini': [{'section': 'mitosis', 'key': name}],
            'vars': [{'name': f'mitosis_{name}'}]}


OURS: dict[str, Any] = {
    'mitosis_isolation': _option('isolation', 'str', 'auto',
                                 'How modules are kept from seeing what others left behind.',
                                 choices=['auto', 'inline', 'fork']),
    'mitosis_enabled': _option('enabled', 'bool', True, 'With false, everything runs the stock way.'),
    'mitosis_live': _option('live', 'bool', False,
                            'Print what commands of a task print, on stderr, while it runs.'),
    'mitosis_in_flight': _option('in_flight', 'int', 16, 'So many items of a loop may be under way at the same time, '
                                 'where none depends on another.'),
    'mitosis_boot_timeout': _option('boot_timeout', 'int', 60,
                                    'Seconds from the start of a login until our code runs at its other end.'),
    'mitosis_alive_interval': _option('alive_interval', 'int', 10, 'Seconds: in each of them both ends of a link say '
                                      'something about twice. 0: they need not.'),
    'mitosis_alive_timeout': _option('alive_timeout', 'int', 30,
                                     'Seconds without a word after which a link is given up.'),
    'mitosis_via': {'description': ['Host of the inventory from which the connection starts.'], 'type': 'str',
                    'default': '', 'vars': [{'name': 'mitosis_via'}]},
    'mitosis_max_interpreters': _option('max_interpreters', 'int', 20, 'So many accounts and interpreters of a host '
                                        'are kept at the same time, as far as they are not in use.'),
    'mitosis_workers': _option('workers', 'str', 'auto', 'Processes in which a strategy of ours runs a task on many '
                               'hosts: a number; auto, one for each core; stock, one for each host.'),
    'mitosis_name': {'description': ['What the host is called in lines of ours: not for users.'], 'type': 'str',
                     'default': '', 'vars': [{'name': 'inventory_hostname'}]},
}


def full_name(name: str) -> str:
    """The `ansible_name` of the stock connection plugin `name`: PluginLoader sets it, 2.16-2.21; callbacks see it as a
    task's connection."""
    return str(connection_loader.get(name, class_only=True).ansible_name)


def told(connection: Any) -> list[tuple[str, Any]]:
    """All options of a connection but ours, by name: AnsiblePlugin._options, 2.16-2.21."""
    return sorted((name, value) for name, value in connection._options.items() if not name.startswith('mitosis_'))


def variables_of(connection: Any) -> set[str]:
    """Names of variables that a connection and its plugins get options from."""
    plugins = [('connection', connection._load_name), ('shell', connection._shell._load_name)]
    if connection.become:
        plugins.append(('become', connection.become._load_name))
    return {name for kind, plugin in plugins for name in C.config.get_plugin_vars(kind, plugin)}


def define(stock: str, name: str) -> None:
    """Give plugin `name` the options of the stock connection plugin `stock`, and ours."""
    if C.config.has_configuration_definition('connection', name):
        return
    if not C.config.has_configuration_definition('connection', stock):
        connection_loader.get(stock, class_only=True)
    options = C.config.get_configuration_definitions('connection', stock)
    if not options:
        raise Unknown(f'no option definitions of connection plugin {stock}')
    # The second name is the one that playbooks use: by it a task's result finds the address of a host that it was
    # delegated to.
    for alias in (name, f'mitosis.express.{stock}'):
        C.config.initialize_plugin_configuration_definitions('connection', alias, _with_ours(options))


def add_ours(name: str) -> None:
    """Give a loaded connection plugin our options too."""
    options = C.config.get_configuration_definitions('connection', name)
    if 'mitosis_enabled' not in options:
        C.config.initialize_plugin_configuration_definitions('connection', name, _with_ours(options))


def _with_ours(options: dict[str, Any]) -> dict[str, Any]:
    merged = dict(copy.copy(options), **copy.deepcopy(OURS))
    # Of a worker, but a connection is told the variables of its own options only.
    session = C.config.get_configuration_definitions().get('WORKER_SESSION_ISOLATION')
    if session:
        merged['worker_session_isolation'] = {key: session[key] for key in session if key != 'name'}
    return merged
