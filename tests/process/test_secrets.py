"""What passes through our processes is told to nobody whom it is not for: not by errors, not by logs, not by dumps."""

from __future__ import annotations

import os
import pathlib
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mitogen_core.controller import supervisor
from mitogen_core.wire.constants import CALL_FUNCTION, CALL_SERVICE, ROOT
from mitogen_core.wire.errors import CallError, ChannelError
from mitogen_core.wire.payloads import frames
from tests.support.engine import SECONDS, Engine
from tests.support.interpreters import Interpreter

MARKER = 'marker-of-a-secret'
# After an answer to a later request there may be none; seconds.
SILENT = 0.2
WRONG: list[Any] = [None, 7, -1, 'text', b'bytes', [], {}, ['x'], True]


def spec(**changes: Any) -> dict[str, Any]:
    """Of a login with a password, which ends at once, as sshpass does that has no ssh."""
    return {'name': 'login', 'argv': ['/bin/sh', '-c', 'exit 5', '-d'], 'env': {'NAME': 'value'}, 'cwd': '/',
            'timeout': 5, 'password_fd': 3, 'password': MARKER.encode(), 'tty': False, **changes}


def malformed() -> Iterator[tuple[str, str, Any]]:
    """Requests (service, method, args) with a secret in them, of which something is wrong."""
    for name in spec():
        for value in WRONG:
            # Of another kind, it is as secret.
            wrong = MARKER if name == 'password' and value == 'text' else value
            yield 'contexts', 'get', {'chain': [{'key': f'{name} {value!r}', 'spec': spec(**{name: wrong})}]}
    for value in WRONG:
        yield 'contexts', 'input', {'token': value}
        yield 'contexts', 'input', value
        yield 'contexts', 'get', {'chain': value, 'password': MARKER}
        yield 'contexts', 'abort', {'token': value, 'text': MARKER}
        yield 'modules', 'run', {'payload': value, 'context': value, 'params': MARKER}
        yield 'modules', 'define', {'payload': MARKER, 'closure': value, 'digests': value}
    for service, method in (('contexts', 'nothing'), ('nothing', 'get'), ('contexts', ''), ('', '')):
        yield service, method, {'password': MARKER}


def ask(engine: Engine, dst: int, heads: list[Any], kind: int = CALL_SERVICE) -> list[str]:
    """What requests are answered with, in words; some never are, or end the link of who asks."""
    said = []
    for head in heads:
        client = engine.connect()
        client._handle += 1
        client._send(frames(dst, 0, kind, client._handle, head, MARKER.encode()))
        said.append((client, client._handle))
    words = []
    engine.client.call(dst, 'status', 'status', {}, timeout=SECONDS)
    for client, handle in said:
        try:
            words.append(repr(client.wait(handle, 'an answer', SILENT)))
        except (CallError, ChannelError) as e:
            words.append(f'{e} {e!r} {vars(e)!r}')
        client.close()
    return words


def told(engine: Engine) -> str:
    """What an engine says of itself, aloud and in its log."""
    os.kill(engine.mux_pid, signal.SIGUSR1)
    tree = engine.client.call(ROOT, 'status', 'tree', {}, timeout=SECONDS)[0]
    return repr(tree) + engine.logged()


def test_errors_of_the_multiplexer(engine: Engine):
    heads: list[Any] = [list(request) for request in malformed()]
    heads += [['contexts', {'password': MARKER}], MARKER, {MARKER: MARKER}, [], None, 3,
              ['contexts', 'get', {'password': MARKER}, 4], [['contexts'], 'get', {'password': MARKER}]]
    words = ask(engine, ROOT, heads)
    assert [word for word in words if MARKER in word] == []
    assert MARKER not in told(engine)
    # Some did arrive at code that was not ready for them.
    assert 'Traceback' in engine.logged()


def test_errors_of_a_target(engine: Engine, edge: Interpreter):
    """Of a broker, which on hops starts ssh and knows its password, and has modules run."""
    context = engine.local(edge.path)
    heads: list[Any] = [['contexts', 'spawn', spec(**{name: value})] for name in spec() for value in WRONG]
    heads += [[service, method, {'password': MARKER, 'argv': value, 'id': value}]
              for service, method in (('contexts', 'input'), ('contexts', 'nothing'), ('nothing', 'spawn'),
                                      ('processes', 'exec'), ('files', 'write'), ('modules', 'run'), ('jobs', 'run'))
              for value in WRONG]
    for number, head in enumerate(heads):  # each child has an id of its own
        head[2] = {'alive': [0, 0], 'id': 1000 + number, **head[2]}
    words = ask(engine, context, heads)
    words += ask(engine, context, [{'closure': value, 'function': 'none:none', 'args': [MARKER],
                                    'kwargs': {MARKER: MARKER}} for value in WRONG], CALL_FUNCTION)
    assert [word for word in words if MARKER in word] == []
    assert MARKER not in told(engine)


# core dumps


def core_limit(pid: int) -> list[str]:
    """Soft and hard limit."""
    lines = pathlib.Path(f'/proc/{pid}/limits').read_text().splitlines()
    return next(line for line in lines if line.startswith('Max core file size')).split()[4:6]


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    """This process's own, which lets dumps be made if that may be."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    limit = (before[1], before[1])
    resource.setrlimit(resource.RLIMIT_CORE, limit)
    yield limit
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.skipif(not pathlib.Path('/proc/self/limits').exists(), reason='limits of others are known on Linux')
def test_limits(limit: tuple[int, int], engine: Engine, edge: Interpreter):
    """The multiplexer leaves no core; what runs on this machine by it keeps its limit, both parts."""
    hard = core_limit(os.getpid())[1]
    assert core_limit(engine.mux_pid) == ['1' if hard != '0' else '0', hard]
    context = engine.local(edge.path)
    assert core_limit(engine.pid_of(context)) == [hard, hard]
    assert engine.execute(context, ['/bin/sh', '-c', 'ulimit -Sc; ulimit -Hc']).out.split() == [hard.encode()] * 2
    # It is as before after that, too.
    assert core_limit(engine.mux_pid) == ['1' if hard != '0' else '0', hard]


@pytest.mark.skipif(sys.platform != 'linux', reason='of Linux')
def test_a_crash_leaves_no_core(limit: tuple[int, int], tmp_path: pathlib.Path):
    """Whatever is done with cores on this machine."""
    pid = os.fork()
    if not pid:
        os.chdir(tmp_path)
        supervisor.forbid_dumps()
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest has its own
        os.kill(os.getpid(), signal.SIGSEGV)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGSEGV
    assert not os.WCOREDUMP(status) and not list(tmp_path.glob('*core*'))
