"""Modules that are built ahead: which, that they are what stock builds, and that they are forgotten in time."""

from __future__ import annotations

import os
import pathlib
import types

import pytest
from ansible import constants as C
from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.plugins.loader import module_loader, module_utils_loader
from ansible.template import Templar

from tests.support import collection

core = collection.load('plugins.plugin_utils._compat')
building = collection.load('plugins.plugin_utils._compat.building')


def play(tasks: list[dict], **more) -> types.SimpleNamespace:
    """As an iterator over it."""
    made = Play.load({'hosts': 'all', 'gather_facts': False, 'tasks': tasks, **more}, loader=DataLoader())
    return types.SimpleNamespace(_play=made, _blocks=[None, *made.compile()])


def names(iterator) -> list[str]:
    tasks = [task for block in iterator._blocks[1:] for task in block.get_tasks()]
    return [os.path.basename(path)[:-3] for path in building.wanted(tasks)]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Ansible's local temporary folder, and a builder's own."""
    monkeypatch.setattr(C, 'DEFAULT_LOCAL_TMP', str(tmp_path / 'tmp'))
    monkeypatch.setattr(module_loader, '_extra_dirs', list(module_loader._extra_dirs))
    monkeypatch.setattr(module_utils_loader, '_extra_dirs', list(module_utils_loader._extra_dirs))
    (tmp_path / 'tmp').mkdir()
    yield tmp_path / 'tmp', building.folder(str(tmp_path))
    for loader in (module_loader, module_utils_loader):
        loader._paths = None
        loader._plugin_path_cache.clear()


def test_wanted():
    tasks = [{'ping': {}}, {'shell': 'true'}, {'command': 'true'}, {'debug': {}, 'when': 'x'}, {'meta': 'noop'},
             {'slurp': {'src': '/x'}, 'when': 'x'}, {'ansible.builtin.template': {'src': 'a', 'dest': 'b'}},
             {'block': [{'file': {'path': '/x'}}, {'find': {'paths': '/'}}]}, {'nothing.of.this': {}}]
    tasks = [task for task in tasks if 'nothing.of.this' not in task]
    assert names(play(tasks)) == ['ping', 'command', 'stat', 'copy', 'file', 'find', 'slurp']


def built(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / building.CACHE).iterdir()
            if not path.name.endswith(('.lock', '-part'))}


def wait_for_end(builder) -> None:
    builder._process.join(60)
    assert builder._process.exitcode == 0


def test_as_stock_builds_them(folders):
    tmp, own = folders
    builder = building.Builder(own)
    builder.start(play([{'ping': {}}, {'slurp': {'src': '/x'}}]))
    wait_for_end(builder)
    found = built(tmp)
    assert sorted(name.split('-')[0] for name in found) == ['ansible.modules.ping', 'ansible.modules.slurp']
    before = {name: os.stat(tmp / building.CACHE / name).st_ino for name in found}
    for name in ('ping', 'slurp'):
        modify_module(module_name=f'ansible.legacy.{name}', module_path=f'{building.MODULES}/{name}.py', module_args={},
                      templar=Templar(loader=DataLoader()),
                      task_vars={'ansible_python_interpreter': '/usr/bin/python3'},
                      module_compression=C.DEFAULT_MODULE_COMPRESSION)
    assert {name: os.stat(tmp / building.CACHE / name).st_ino for name in built(tmp)} == before
    builder.end()


@pytest.mark.parametrize('kind', ['library', 'module_utils'])
def test_others_of_these_names(folders, kind: str, tmp_path):
    """Nothing is built ahead where it might not be ansible-core's own."""
    (tmp_path / kind).mkdir()
    (tmp_path / kind / 'slurp.py').write_text('# mine')
    loader = module_loader if kind == 'library' else module_utils_loader
    loader.add_directory(str(tmp_path / kind))
    builder = building.Builder(folders[1])
    builder.start(play([{'ping': {}}, {'slurp': {'src': '/x'}}]))
    assert builder._process is None


def test_others_come_later(folders, tmp_path):
    """As with a role that is included during the play."""
    tmp, own = folders
    builder = building.Builder(own)
    builder.start(play([{'ping': {}}, {'slurp': {'src': '/x'}}]))
    wait_for_end(builder)
    builder.check()
    assert len(built(tmp)) == 2
    (tmp / building.CACHE / 'another').write_bytes(b'by a worker')
    (tmp_path / 'library').mkdir()
    module_loader.add_directory(str(tmp_path / 'library'))
    builder.check()
    assert list(built(tmp)) == ['another']
    assert builder._process is None


def test_what_a_worker_built_stays(folders):
    tmp, own = folders
    (tmp / building.CACHE).mkdir()
    name = f'ansible.modules.slurp-{C.DEFAULT_MODULE_COMPRESSION}' + ('' if core.core_version() < (2, 19) else '-none')
    (tmp / building.CACHE / name).write_bytes(b'by a worker')
    builder = building.Builder(own)
    builder.start(play([{'ping': {}}, {'slurp': {'src': '/x'}}]))
    wait_for_end(builder)
    assert built(tmp)[name] == b'by a worker'
    builder.end()


@pytest.mark.skipif(core.core_version() >= (2, 19), reason='from 2.19 on a role has names of its own for its modules')
def test_roles_that_are_not_known_yet(folders):
    builder = building.Builder(folders[1])
    builder.start(play([{'ping': {}}, {'slurp': {'src': '/x'}}, {'include_role': {'name': 'x'}}]))
    assert builder._process is None


def test_one_module_is_its_workers(folders):
    builder = building.Builder(folders[1])
    builder.start(play([{'ping': {}}, {'debug': {}}]))
    assert builder._process is None
    builder.check()
    builder.end()
