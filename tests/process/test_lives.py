"""Long lives in small: what comes and goes leaves nothing, clocks may jump, all may sleep.  The large numbers are
`./dev lives`'."""

from __future__ import annotations

import os
import pathlib
import shlex
import signal
import sys
import time

import pytest

from mitogen_core.controller import supervisor
from mitogen_core.controller.client import WaitError
from mitogen_core.wire.constants import ROOT
from mitogen_core.wire.errors import ChannelError
from mitogen_core.wire.frames import HEADER_SIZE
from tests.support import leaks
from tests.support.engine import SECONDS, Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.standin import Runners


def fds(pid: int) -> int:
    return len(os.listdir(f'/proc/{pid}/fd'))


def reset(engine: Engine, context: int) -> None:
    assert engine.client.call(ROOT, 'contexts', 'reset', {'keys': ['host']}, timeout=SECONDS)[0] is True


def kill(engine: Engine, context: int) -> None:
    os.kill(engine.pid_of(context), signal.SIGKILL)
    leaks.wait_until(lambda: context not in {each['id'] for each in engine.status()['contexts']}, 'its end')


def refuse(engine: Engine, context: int) -> None:
    """A further login that fails."""
    with pytest.raises(Exception, match='exit code 3'):
        engine.get(login('other', ['/bin/sh', '-c', 'echo no >&2; exit 3']))
    reset(engine, context)


@pytest.mark.parametrize('end', [reset, kill, refuse])
def test_logins_that_come_and_go(engine: Engine, edge: Interpreter, end):
    """The multiplexer has as many descriptors as before."""
    before = fds(engine.mux_pid)
    for _ in range(5):
        (context,), _ = engine.get(login('host', boot_argv(edge.path)))
        assert engine.execute(context, ['true']).rc == 0
        end(engine, context)
    leaks.wait_until(lambda: fds(engine.mux_pid) == before and not engine.status()['contexts'],
                     f'{before} descriptors of the multiplexer')


def test_contexts_below_that_come_and_go(engine: Engine, edge: Interpreter):
    """The broker has as many descriptors as before."""
    (broker,), ((hello),) = engine.get(login('host', boot_argv(edge.path)))
    before = None
    for _ in range(5):
        ids, _ = engine.get(login('host', boot_argv(edge.path)), login('below', boot_argv(edge.path)))
        assert engine.execute(ids[1], ['true']).rc == 0
        kill(engine, ids[1])
        assert engine.execute(broker, ['true']).rc == 0
        before = before or fds(hello['pid'])
    leaks.wait_until(lambda: fds(hello['pid']) == before, f'{before} descriptors of the broker')


def test_clients_that_come_and_go(engine: Engine, edge: Interpreter):
    context = engine.local(edge.path)
    runners = Runners(engine, context)
    assert runners.probe('').rc == 0
    processes = [engine.mux_pid, *leaks.descendants(engine.pid_of(context))[:2]]
    before = [fds(pid) for pid in processes]
    for _ in range(20):
        client = engine.connect()
        assert client.call(context, 'processes', 'exec', {'argv': ['true']}, timeout=SECONDS)[0]['rc'] == 0
        client.close()
    leaks.wait_until(lambda: engine.status()['clients'] == 1 and [fds(pid) for pid in processes] == before,
                     f'{before} descriptors')
