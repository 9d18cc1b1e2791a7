"""Flow control between real processes: whoever is stopped or slow stops its own flows and nothing else, and no process
grows by what others do not take."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator

from mitogen_core.controller.client import Client
from mitogen_core.wire.constants import CHUNK, WINDOW_SIZE
from mitogen_core.wire.errors import ChannelError
from tests.support import leaks
from tests.support.beside import beside
from tests.support.engine import SECONDS, Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.standin import Runners

MEGABYTE = 1 << 20
# A pipe's.
PIECE = 1 << 16
# A pipe's.
PIECE = 1 << 16
LARGE = 64 * MEGABYTE
# What a flow that stands still may cost a process on its way: its window, a frame that is being written and one that is
# being read, twice, since bytes are joined and cut; and what the allocator keeps.
BOUND = 6 * MEGABYTE


class Memory:
    """How far a process has grown since it was looked at first."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        pathlib.Path(f'/proc/{pid}/clear_refs').write_text('5')
        self._before = self._peak()

    def _peak(self) -> int:
        status = pathlib.Path(f'/proc/{self._pid}/status').read_text()
        return int(status.partition('VmHWM:')[2].split()[0]) << 10

    @property
    def growth(self) -> int:
        """Bytes, at the highest."""
        return self._peak() - self._before


def zeros(size: int) -> Iterator[bytes]:
    for _ in range(size // CHUNK):
        yield bytes(CHUNK)


@contextlib.contextmanager
def copying(client: Client, context: int, path: str, size: int) -> Iterator[threading.Thread]:
    """A worker that writes a file; it has ended, or lost its connection, when this is left."""
    def work() -> None:
        with contextlib.suppress(ChannelError):
            client.put(context, path, zeros(size), 0o600)
    with beside(work) as thread:
        yield thread


def expanduser(engine: Engine, context: int) -> str:
    return str(engine.client.call(context, 'files', 'expanduser', {'path': '/x'}, timeout=SECONDS)[0])


def test_a_client_that_reads_no_more(engine: Engine, edge: Interpreter, tmp_path: pathlib.Path):
    """A worker that was stopped in the middle of a fetch."""
    context = engine.local(edge.path)
    source = tmp_path / 'large'
    with source.open('wb') as file:
        file.truncate(LARGE)
    grown = [Memory(pid) for pid in (engine.mux_pid, engine.pid_of(context))]
    stopped = engine.connect().get(context, str(source))
    assert next(stopped) == bytes(CHUNK)
    # It has asked for more, and the others go on.
    other = engine.connect()
    assert sum(map(len, other.get(context, str(source)))) == LARGE
    assert expanduser(engine, context) == '/x'
    assert all(memory.growth < BOUND for memory in grown), [memory.growth for memory in grown]
    assert CHUNK + sum(map(len, stopped)) == LARGE


def test_a_client_that_does_not_read_a_large_result(engine: Engine, edge: Interpreter):
    """What a module prints goes through the broker as it is taken at the other end."""
    context = engine.local(edge.path)
    client = engine.connect()
    runners = Runners(engine, context)
    runners.probe('result["done"] = True')
    grown = [Memory(pid) for pid in (engine.mux_pid, engine.pid_of(context))]
    handle = runners.start(f'sys.stdout.write("x" * {LARGE})', client=client)
    # The runner has collected all of it, and does not get rid of it.
    leaks.wait_until(lambda: engine.status()['links'][context]['received'] > WINDOW_SIZE, 'the beginning of the output')
    for _ in range(20):
        assert expanduser(engine, context) == '/x'
    assert all(memory.growth < BOUND for memory in grown), [memory.growth for memory in grown]
    assert len(engine.wait(handle, client).out) > LARGE
    assert grown[0].growth < BOUND and grown[1].growth < BOUND


def test_a_context_that_was_stopped(engine: Engine, edge: Interpreter, tmp_path: pathlib.Path):
    """Behind a broker, with life signs off, and a worker that copies to it."""
    chain = [login('host', boot_argv(edge.path)), login('account', boot_argv(edge.path), alive=[0, 0])]
    host, account = engine.get(*chain)[0]
    stopped = engine.pid_of(account)
    grown = [Memory(pid) for pid in (engine.mux_pid, engine.pid_of(host))]
    target = tmp_path / 'copied'
    os.kill(stopped, signal.SIGSTOP)
    client = engine.connect()
    sent = engine.status()['links'][host]['sent']
    with copying(client, account, str(target), LARGE):
        leaks.wait_until(lambda: engine.status()['links'][host]['sent'] > sent + WINDOW_SIZE // 2, 'the flow')
        other = engine.connect()
        other.put(host, str(tmp_path / 'other'), zeros(LARGE), 0o600)
        assert expanduser(engine, host) == '/x'
        assert all(memory.growth < BOUND for memory in grown), [memory.growth for memory in grown]
        os.kill(stopped, signal.SIGCONT)
    assert target.stat().st_size == LARGE
    assert all(memory.growth < BOUND for memory in grown), [memory.growth for memory in grown]


def test_a_call_overtakes_bulk_on_a_slow_link(engine: Engine, edge: Interpreter, tmp_path: pathlib.Path):
    """In the order of the bytes that go over it."""
    gate, go, passed = (tmp_path / name for name in ('gate', 'go', 'passed'))
    os.mkfifo(go)
    relay = [sys.executable, str(pathlib.Path(__file__).with_name('relay.py')), *map(str, (gate, go, passed))]
    context = engine.get(login('slow', [*relay, *boot_argv(edge.path)], alive=[0, 0]))[0][0]
    gate.touch()
    size = 8 * MEGABYTE
    sent = engine.status()['links'][context]['sent']
    with contextlib.ExitStack() as stack:
        for number in range(4):
            path = str(tmp_path / f'copied{number}')
            stack.enter_context(copying(engine.connect(), context, path, size))
        leaks.wait_until(lambda: engine.status()['links'][context]['sent'] > sent + PIECE, 'a full pipe')
        handle = engine.client.start(context, 'files', 'expanduser', {'path': '/overtaking'})
        engine.status()  # by now the call is with the multiplexer
        with go.open('wb'):
            pass
        assert engine.client.wait(handle, 'the call', SECONDS)[0] == '/overtaking'
    stream = passed.read_bytes()
    assert len(stream) > 4 * size
    # Behind what was in the pipe, and the frame that was being written.
    assert stream.index(b'/overtaking') < 2 * PIECE + 2 * CHUNK
