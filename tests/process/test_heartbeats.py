"""Signs of life between real processes: who is busy and who is gone."""

from __future__ import annotations

import os
import signal

import pytest

from mitogen_core.wire.constants import ROOT
from mitogen_core.wire.errors import ChannelError
from mitogen_core.wire.frames import HEADER_SIZE
from tests.support import leaks
from tests.support.engine import SECONDS, Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.standin import Runners


class Host:
    """A context whose link has these signs of life, and a module in it that waits for its gate."""

    def __init__(self, engine: Engine, python: str, gate: str, interval: float, timeout: float) -> None:
        self.engine, self.gate = engine, gate
        self.context = engine.get(login('the host', boot_argv(python), alive=[interval, timeout]))[0][0]
        self.broker = engine.pid_of(self.context)
        self.handle = Runners(engine, self.context).start(f'open({gate!r}).read()\nresult["done"] = True')
        leaks.wait_until(lambda: len(leaks.descendants(self.broker)) > 2, 'a runner and its executor')

    def words(self) -> int:
        """How many signs of life may have come from there."""
        return self.engine.status()['links'][self.context]['received'] // HEADER_SIZE

    def open_gate(self) -> None:
        with open(self.gate, 'w'):
            pass


@pytest.fixture
def make(engine: Engine, edge: Interpreter, fifo):
    hosts = []

    def make(interval: float, timeout: float) -> Host:
        hosts.append(Host(engine, edge.path, fifo('gate'), interval, timeout))
        return hosts[-1]
    return make


def test_a_stopped_broker_is_given_up(engine: Engine, make):
    """No end of stream, no reset: as if its machine had vanished."""
    host = make(1, 3)
    os.kill(host.broker, signal.SIGSTOP)
    with pytest.raises(ChannelError, match=r'the host: no word for \d s; the host, or the way to it, may be down'):
        engine.client.wait(host.handle, 'a module', SECONDS)
    leaks.wait_until(lambda: not leaks.alive(host.broker), 'the end of the broker')
    assert engine.status()['contexts'] == []
    assert 'no word' in engine.logged()


def test_a_stopped_runner_is_only_busy(engine: Engine, make):
    host = make(0.4, 4)
    runners = leaks.descendants(host.broker)[1:]
    for pid in runners:
        os.kill(pid, signal.SIGSTOP)
    # Far more than the timeout.
    words = host.words()
    leaks.wait_until(lambda: host.words() > words + 40, 'signs of life from its broker')
    for pid in runners:
        os.kill(pid, signal.SIGCONT)
    host.open_gate()
    assert engine.wait(host.handle).value['done']


def test_silence_is_told_to_those_who_wait(engine: Engine, make):
    host = make(0.4, 300)
    news = []

    def on_progress(value, bulk) -> None:
        news.append(value)
        if len(news) == 1:
            os.kill(host.broker, signal.SIGCONT)
        elif len(news) == 2:
            host.open_gate()
    os.kill(host.broker, signal.SIGSTOP)
    head, _ = engine.client.wait(host.handle, 'a module', SECONDS, on_progress)
    assert head['rc'] == 0
    assert [value['name'] for value in news] == ['the host', 'the host']
    assert [isinstance(value['silent'], int) for value in news] == [True, True]
    assert news[1]['silent'] == 0


def test_a_broker_whose_multiplexer_is_stopped_ends(engine: Engine, make):
    host = make(1, 3)
    os.kill(engine.mux_pid, signal.SIGSTOP)
    try:
        leaks.wait_until(lambda: not leaks.alive(host.broker), 'the end of the broker')
    finally:
        os.kill(engine.mux_pid, signal.SIGCONT)
    with pytest.raises(ChannelError, match='the host: '):
        engine.client.wait(host.handle, 'a module', SECONDS)


def test_contexts_below_have_the_same_signs_of_life(engine: Engine, edge: Interpreter):
    ids, hellos = engine.get(login('first', boot_argv(edge.path), alive=[1, 3]), login('second', boot_argv(edge.path)))
    handle = engine.client.start(ids[1], 'processes', 'exec', {'argv': ['cat', '/proc/self/stat']})
    engine.client.wait(handle, 'a command', SECONDS)
    os.kill(hellos[1]['pid'], signal.SIGSTOP)
    handle = engine.client.start(ids[1], 'processes', 'exec', {'argv': ['true']})
    with pytest.raises(ChannelError, match='second: no word for'):
        engine.client.wait(handle, 'a command', SECONDS)
    assert engine.execute(ids[0], ['echo', 'fine']).out == b'fine\n'


def test_none_with_interval_0(engine: Engine, edge: Interpreter):
    ids, _ = engine.get(login('quiet', boot_argv(edge.path), alive=[0, 1]))
    ids += engine.get(login('talkative', boot_argv(edge.path), alive=[0.4, 60]))[0]

    def received() -> list[int]:
        links = engine.client.call(ROOT, 'status', 'status', {}, timeout=SECONDS)[0]['links']
        return [links[context]['received'] for context in ids]
    before = received()
    leaks.wait_until(lambda: received()[1] > before[1] + 20 * HEADER_SIZE, 'signs of life of the other')
    assert received()[0] == before[0]
    assert engine.execute(ids[0], ['echo', 'fine']).out == b'fine\n'
