"""A rehearsal: what it leaves behind in the process, and what it must not."""

from __future__ import annotations

import os
import pathlib
import threading
import types

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.utils.display import Display
from ansible.vars.manager import VariableManager

from tests.support import collection

rehearsal = collection.load('plugins.plugin_utils._compat.rehearsal')
strategy = collection.load('plugins.plugin_utils._compat.strategy')


def iterator(*tasks):
    loader = DataLoader()
    play = Play.load({'hosts': 'all', 'name': 'x', 'gather_facts': False, 'tasks': list(tasks)}, loader=loader,
                     variable_manager=VariableManager(loader=loader))
    setup = Block.load([{'action': 'gather_facts'}], play=play, loader=loader)
    return types.SimpleNamespace(_blocks=[setup, *play.compile()])


def first_module(*tasks, gathers=False):
    found = iterator(*tasks)
    all_tasks = list(rehearsal._tasks(found._blocks))
    return rehearsal.first_module(found, all_tasks[0 if gathers else 1])


COMMAND = {'action': 'ansible.legacy.command', 'args': {'_raw_params': 'true'}}


@pytest.mark.parametrize(('tasks', 'expected'), [
    ([{'debug': {}}], None),
    ([{'debug': {}}, {'ansible.builtin.shell': 'x'}, {'ping': {}}], COMMAND),
    ([{'block': [{'debug': {}}, {'block': [{'command': 'x'}]}]}], COMMAND),
    ([{'copy': {'dest': '/x', 'content': ''}}, {'ansible.builtin.stat': {'path': '/'}}],
     {'action': 'ansible.builtin.stat'}),
    ([{'action': '{{ x }}'}], None),
])
def test_the_first_module(tasks, expected):
    assert first_module(*tasks) == expected
    assert first_module(*tasks, gathers=True) == {'action': 'ansible.legacy.setup'}


def rehearse(*tasks, idle=(False, True, True)):
    """What connections were asked to run."""
    ran = []

    def made(connection, name):
        # The stock plugin puts the module into a file.
        connection.put_file = lambda source, target: ran.append(pathlib.Path(source).read_bytes())
        connection.exec_command = lambda *args, **kwargs: (0, b'{}', b'')
    loader = DataLoader()
    manager = VariableManager(loader=loader, inventory=InventoryManager(loader=loader, sources=[]))
    it = iterator(*tasks)
    first = list(rehearsal._tasks(it._blocks))[1]
    one = rehearsal.Rehearsal(strategy.Loaders(strategy.ConnectionLoader({}, made)))
    for each in idle:
        one.run(each, it, first, loader, manager, 'ssh')
    return ran


@pytest.fixture
def told(monkeypatch, capsys):
    """What has been displayed, in order."""
    monkeypatch.setattr(Display(), 'verbosity', 5)

    def read():
        out, err = capsys.readouterr()
        return [line for line in (out + err).splitlines() if 'inventory' not in line]
    return read


def test_a_module_is_built_once_and_nothing_is_said(told):
    ran = rehearse({'debug': {'msg': 'x'}}, {'ping': {}})
    assert len(ran) == 1 and b'ping' in ran[0]
    assert told() == [] and Display()._final_q is None


def test_what_fails_is_no_error(told, monkeypatch):
    monkeypatch.setattr(rehearsal, 'TaskExecutor', lambda: 1 / 0)
    assert rehearse({'ping': {}}) == []
    assert told()[0] == "MITOSIS: no rehearsal: ZeroDivisionError('division by zero')" and Display()._final_q is None


def test_an_argument_that_is_not_known(told, monkeypatch):
    class Other:
        def __init__(self, host, surprise):
            raise AssertionError
    monkeypatch.setattr(rehearsal, 'TaskExecutor', Other)
    rehearse({'ping': {}})
    assert told()[0] == "MITOSIS: no rehearsal: KeyError('surprise')"


def test_silence_is_of_one_thread():
    """Meanwhile the strategy's other thread shows what workers say."""
    with rehearsal._silence():
        here, there = bool(Display()._final_q), []
        thread = threading.Thread(target=lambda: there.append(bool(Display()._final_q)))
        thread.start()
        thread.join()
    assert here and there == [False] and Display()._final_q is None


def test_filters_of_others_are_left_to_workers(told, tmp_path, monkeypatch):
    """They may warn as they are loaded, which is for the task that needs them."""
    assert not rehearsal._others()
    monkeypatch.setattr(rehearsal.test_loader, 'print_paths', lambda: f'/nowhere{os.pathsep}{tmp_path}')
    assert rehearsal._others()
    seen = []
    monkeypatch.setattr(rehearsal.Rehearsal, '_run', lambda self, task, *args: seen.append(task))
    rehearse({'debug': {}})
    assert '|' not in str(seen) and len(seen) == 1


def test_only_while_it_waits_anyway(monkeypatch):
    seen = []
    monkeypatch.setattr(rehearsal.Rehearsal, '_run', lambda self, task, *args: seen.append(task))
    rehearse({'ping': {}}, idle=(False, False))
    assert len(seen) == 1 and '|' not in str(seen)
    del seen[:]
    rehearse({'ping': {}}, idle=(True, False, True))
    assert [task['action'] for task in seen] == ['ansible.builtin.debug'] * 2 + ['ping']
