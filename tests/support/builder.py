"""Payloads made by the module builder of the ansible-core that runs the tests."""

from __future__ import annotations

import functools
import inspect
import json
import pathlib
from typing import Any

import ansible.modules
from ansible.executor import module_common
from ansible.parsing.dataloader import DataLoader
from ansible.release import __version__
from ansible.template import Templar

CORE = tuple(int(part) for part in __version__.split('.')[:2])
# Which of the two wrappers this ansible-core makes.
LAYOUT = 2 if CORE >= (2, 19) else 1


def args(**params: Any) -> dict[str, Any]:
    """Module arguments as actions hand them to the builder."""
    return {'_ansible_check_mode': False, '_ansible_no_log': False, '_ansible_diff': False, '_ansible_verbosity': 0,
            '_ansible_version': __version__, '_ansible_module_name': 'ansible.legacy.test', '_ansible_tmpdir': None,
            '_ansible_remote_tmp': '~/.ansible/tmp', '_ansible_tracebacks_for': [], **params}


def build(module: str, module_args: dict[str, Any], **task_vars: Any) -> bytes:
    """The payload of a module of ansible-core's, such as 'ansible.builtin.ping'."""
    path = str(pathlib.Path(ansible.modules.__path__[0], module.rpartition('.')[2] + '.py'))
    task_vars = {'ansible_python_interpreter': '/usr/bin/python3', **task_vars}
    call = {'module_name': module, 'module_path': path, 'module_args': module_args, 'task_vars': task_vars,
            'templar': Templar(loader=DataLoader(), variables=task_vars), 'module_compression': 'ZIP_DEFLATED'}
    known = inspect.signature(module_common.modify_module).parameters
    assert set(call) <= set(known), 'the builder of this ansible-core takes other arguments'
    built = module_common.modify_module(**call)
    # 2.16-2.18: a tuple; 2.19 and later: an object.
    return bytes(built[0] if isinstance(built, tuple) else built.b_module_data)


@functools.cache
def ping() -> bytes:
    """The payload of a plain ping, made once."""
    return build('ansible.builtin.ping', args(data='pong'))


def params_of(payload: Any) -> Any:
    return json.loads(payload.params)['ANSIBLE_MODULE_ARGS']
