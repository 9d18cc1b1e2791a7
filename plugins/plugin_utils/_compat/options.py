"""Option definitions of our plugins: those of the stock plugins, as ansible-core's configuration has them, and ours.

`C.config` and its plugin definitions: 2.16-2.21.  WORKER_SESSION_ISOLATION: 2.21.
"""

from __future__ import annotations

import copy
from typing import Any

from ansible import constants as C
from ansible.plugins.loader import connection_loader

from . import Unknown

OURS: dict[str, Any] = {
    'mitosis_isolation': {
        'description': ['How modules are kept from seeing what others left behind.'],
        'type': 'str', 'default': 'auto', 'choices': ['auto', 'inline', 'fork'],
        'env': [{'name': 'MITOSIS_ISOLATION'}],
        'ini': [{'section': 'mitosis', 'key': 'isolation'}],
        'vars': [{'name': 'mitosis_isolation'}],
    },
    'mitosis_enabled': {
        'description': ['With false, everything runs the stock way.'],
        'type': 'bool', 'default': True,
        'env': [{'name': 'MITOSIS_ENABLED'}],
        'ini': [{'section': 'mitosis', 'key': 'enabled'}],
        'vars': [{'name': 'mitosis_enabled'}],
    },
    'mitosis_boot_timeout': {
        'description': ['Seconds from the start of a login until our code runs at its other end.'],
        'type': 'int', 'default': 60,
        'env': [{'name': 'MITOSIS_BOOT_TIMEOUT'}],
        'ini': [{'section': 'mitosis', 'key': 'boot_timeout'}],
        'vars': [{'name': 'mitosis_boot_timeout'}],
    },
    'mitosis_live': {
        'description': ['Print what commands of a task print, on stderr, while it runs.'],
        'type': 'bool', 'default': False,
        'env': [{'name': 'MITOSIS_LIVE'}],
        'ini': [{'section': 'mitosis', 'key': 'live'}],
        'vars': [{'name': 'mitosis_live'}],
    },
    'mitosis_name': {
        'description': ['What the host is called in lines of ours: not for users.'],
        'type': 'str', 'default': '',
        'vars': [{'name': 'inventory_hostname'}],
    },
    'mitosis_alive_interval': {
        'description': ['Seconds: in each of them both ends of a link say something about twice. 0: they need not.'],
        'type': 'int', 'default': 10,
        'env': [{'name': 'MITOSIS_ALIVE_INTERVAL'}],
        'ini': [{'section': 'mitosis', 'key': 'alive_interval'}],
        'vars': [{'name': 'mitosis_alive_interval'}],
    },
    'mitosis_alive_timeout': {
        'description': ['Seconds without a word after which a link is given up.'],
        'type': 'int', 'default': 30,
        'env': [{'name': 'MITOSIS_ALIVE_TIMEOUT'}],
        'ini': [{'section': 'mitosis', 'key': 'alive_timeout'}],
        'vars': [{'name': 'mitosis_alive_timeout'}],
    },
}


def full_name(name: str) -> str:
    """The `ansible_name` of the stock connection plugin `name`: PluginLoader sets it, 2.16-2.21; callbacks see it as a
    task's connection."""
    return str(connection_loader.get(name, class_only=True).ansible_name)


def define(stock: str, name: str) -> None:
    """Give plugin `name` the options of the stock connection plugin `stock`, and ours."""
    if C.config.has_configuration_definition('connection', name):
        return
    if not C.config.has_configuration_definition('connection', stock):
        connection_loader.get(stock, class_only=True)
    options = C.config.get_configuration_definitions('connection', stock)
    if not options:
        raise Unknown(f'no option definitions of connection plugin {stock}')
    merged = dict(copy.copy(options), **copy.deepcopy(OURS))
    # Of a worker, but a connection is told the variables of its own options only.
    session = C.config.get_configuration_definitions().get('WORKER_SESSION_ISOLATION')
    if session:
        merged['worker_session_isolation'] = {key: session[key] for key in session if key != 'name'}
    # The second name is the one that playbooks use: by it a task's result finds the address of a host that it was
    # delegated to.
    for alias in (name, f'mitosis.express.{stock}'):
        C.config.initialize_plugin_configuration_definitions('connection', alias, merged)
