"""A rehearsal: what it leaves behind in the process, and what it must not."""

from __future__ import annotations

import threading

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display
from ansible.vars.manager import VariableManager

from tests.support import collection

rehearsal = collection.load('plugins.plugin_utils._compat.rehearsal')
strategy = collection.load('plugins.plugin_utils._compat.strategy')


def rehearse():
    ran = []

    def made(connection, name):
        connection.exec_command = lambda *args, **kwargs: ran.append(args) or (0, b'{}', b'')
        return connection
    loader = DataLoader()
    manager = VariableManager(loader=loader, inventory=InventoryManager(loader=loader, sources=[]))
    one = rehearsal.Rehearsal(strategy.Loaders(strategy.ConnectionLoader({}, made)))
    for _ in range(2):
        one.run(loader, manager, 'ssh')
    return ran


@pytest.fixture
def told(monkeypatch, capsys):
    """What has been displayed, in order."""
    monkeypatch.setattr(Display(), 'verbosity', 5)

    def read():
        out, err = capsys.readouterr()
        return [line for line in (out + err).splitlines() if 'inventory' not in line]
    return read


def test_nothing_is_run_on_a_host_and_nothing_is_said(told, monkeypatch):
    results = []
    real = rehearsal.TaskExecutor.run
    monkeypatch.setattr(rehearsal.TaskExecutor, 'run', lambda self: results.append(real(self)))
    assert rehearse() == []
    assert len(results) == 1 and 'rror' not in str(getattr(results[0], 'exception', ''))
    assert told() == [] and Display()._final_q is None


def test_what_fails_is_no_error(told, monkeypatch):
    monkeypatch.setattr(rehearsal, 'TaskExecutor', lambda: 1 / 0)
    rehearse()
    assert told()[0] == "MITOSIS: no rehearsal: ZeroDivisionError('division by zero')" and Display()._final_q is None


def test_an_argument_that_is_not_known(told, monkeypatch):
    class Other:
        def __init__(self, host, surprise):
            raise AssertionError
    monkeypatch.setattr(rehearsal, 'TaskExecutor', Other)
    rehearse()
    assert told()[0] == "MITOSIS: no rehearsal: KeyError('surprise')"


def test_silence_is_of_one_thread():
    """Meanwhile the strategy's other thread shows what workers say."""
    with rehearsal._silence():
        here, there = bool(Display()._final_q), []
        thread = threading.Thread(target=lambda: there.append(bool(Display()._final_q)))
        thread.start()
        thread.join()
    assert here and there == [False] and Display()._final_q is None
