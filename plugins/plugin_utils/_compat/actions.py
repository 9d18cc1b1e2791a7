"""Which action plugin a task has, and what it registers.

PluginLoader.find_plugin_with_context, `plugin_resolved_path` and `action_plugin` of what it returns: 2.16-2.21.
Task.register is a name, or in 2.21 a dict of names and expressions.
"""

from __future__ import annotations

import os
from typing import Any

import ansible.modules
import ansible.plugins.action
from ansible import constants as C
from ansible.plugins.loader import action_loader, module_loader

MODULES = os.path.dirname(os.path.abspath(str(ansible.modules.__file__)))
ACTIONS = os.path.dirname(os.path.abspath(ansible.plugins.action.__file__))


def name_in(folder: str, path: Any) -> str | None:
    """The name of a plugin whose file is in this folder, None for any other."""
    found, name = os.path.split(os.path.abspath(str(path or '')))
    return os.path.splitext(name)[0] if found == folder else None


def action_of(task: Any) -> str | None:
    """The name of the task's action plugin in ansible-core, '' where it has none; None for any other plugin."""
    if '{{' in str(task.action) or '{%' in str(task.action):
        return None
    name = str(task.action)
    module = module_loader.find_plugin_with_context(name, collection_list=task.collections)
    # As TaskExecutor looks for it: what the module's collection says, that name, what its family of devices has.
    if getattr(module, 'action_plugin', None) or name.rpartition('.')[2].split('_')[0] in C.NETWORK_GROUP_MODULES:
        return None
    context = action_loader.find_plugin_with_context(str(task.action), collection_list=task.collections)
    if not context.resolved:
        return ''
    return name_in(ACTIONS, context.plugin_resolved_path)


def module_of(task: Any) -> str | None:
    """The name of ansible-core's module of the task's name, None for any other module."""
    context = module_loader.find_plugin_with_context(str(task.action), '.py', collection_list=task.collections)
    return name_in(MODULES, context.plugin_resolved_path)


def registered(task: Any) -> frozenset[str]:
    """The names of variables that the task gives its result."""
    names = task.register if isinstance(task.register, dict) else [task.register]
    return frozenset(str(name) for name in names if name)
