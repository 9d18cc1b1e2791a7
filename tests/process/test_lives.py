"""Long lives in small: what comes and goes leaves nothing, clocks may jump, all may sleep.  The large numbers are
`./dev lives`'."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
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


# --- clocks

# Runs the program that its arguments name with a time.time() that is some hours off while the file is there.
JUMPY = '''
import os, sys, time
real = time.time
time.time = lambda: real() + float(open({path!r}).read() or 0)
sys.argv[:] = sys.argv[1:]
exec(compile({code}, "jumpy", "exec"))
'''
HOURS = 10 * 3600


class Clock:
    """The wall clock of all processes of an engine, this one's too."""

    def __init__(self, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path, self._folder = folder / 'clock', folder
        self.set(0)
        real, command = time.time, supervisor.command
        monkeypatch.setattr(time, 'time', lambda: real() + float(self._path.read_text() or 0))

        def patched(*args: str) -> list[str]:
            argv = command(*args)
            at = argv.index('-c') + 1
            return [*argv[:at], JUMPY.format(path=str(self._path), code=repr(argv[at])).replace(
                'sys.argv[:] = sys.argv[1:]\n', ''), *argv[at + 1:]]
        monkeypatch.setattr(supervisor, 'command', patched)

    def set(self, seconds: float) -> None:
        new = self._path.with_suffix('.new')
        new.write_text(str(seconds))
        new.replace(self._path)

    def python(self, python: str) -> str:
        """An interpreter of a target, which starts brokers by -c and what is a runner or a module by forking those."""
        code = JUMPY.format(path=str(self._path), code='sys.argv[0]').replace(
            'sys.argv[:] = sys.argv[1:]\n', 'sys.argv[:] = sys.argv[2:]\ncode, sys.argv[0] = sys.argv[0], "-c"\n')
        code = code.replace('compile(sys.argv[0]', 'compile(code')
        path = self._folder / 'jumpy-python'
        path.write_text(f'#!/bin/sh\nexec {python} -c {shlex.quote(code)} "$@"\n')
        path.chmod(0o755)
        return str(path)


def test_clocks_that_jump(clean: str, tmp_path: pathlib.Path, edge: Interpreter, fifo, monkeypatch: pytest.MonkeyPatch):
    """By hours, to and fro, on both sides: no deadline comes early, and none stays away."""
    clock = Clock(tmp_path, monkeypatch)
    engine = Engine(tmp_path, clean)
    try:
        context = engine.get(login('host', boot_argv(clock.python(edge.path)), alive=[1, 4]))[0][0]
        runners, gate = Runners(engine, context), fifo('gate')
        now = 'import time; result["time"] = time.time()'
        before = runners.probe(now).value['time']
        handle = runners.start(f'open({gate!r}).read()\nresult["done"] = True')
        for jump in (HOURS, -HOURS, 0):
            clock.set(jump)
            assert abs(runners.probe(now).value['time'] - before - jump) < HOURS / 2  # they see it
            words = received(engine, context)
            leaks.wait_until(lambda words=words: received(engine, context) > words + 8 * HEADER_SIZE, 'signs of life')
            with pytest.raises(WaitError, match=r'waited 0 s'):
                engine.client.wait(handle, 'nothing', 0.2)
        assert len(engine.status()['contexts']) == 1
        with open(gate, 'w'):
            pass
        assert engine.wait(handle).value['done']
        # What is dead is found out.
        clock.set(-HOURS)
        os.kill(engine.pid_of(context), signal.SIGSTOP)
        with pytest.raises(ChannelError, match='no word for'):
            engine.execute(context, ['true'])
    finally:
        engine.stop()


def received(engine: Engine, context: int) -> int:
    return int(engine.status()['links'][context]['received'])


# --- sleep

def test_all_sleep_for_longer_than_a_link_lives(engine: Engine, edge: Interpreter, fifo):
    """As on a laptop with its virtual machines; whoever wakes first finds the others silent."""
    context = engine.get(login('host', boot_argv(edge.path), alive=[1, 3]))[0][0]
    runners, gate = Runners(engine, context), fifo('gate')
    handle = runners.start(f'open({gate!r}).read()\nresult["done"] = True')
    broker = engine.pid_of(context)
    leaks.wait_until(lambda: len(leaks.descendants(broker)) > 2, 'a runner and its executor')
    for order in (1, -1):
        pids = [engine.mux_pid, *leaks.descendants(broker)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(5)  # longer than the link lives: it is what is tested
        for pid in pids[::order]:
            os.kill(pid, signal.SIGCONT)
        assert engine.execute(context, ['echo', 'awake']).out == b'awake\n'
    with open(gate, 'w'):
        pass
    assert engine.wait(handle).value['done']
    assert engine.pid_of(context) == broker


# --- another edition

def test_another_edition_has_a_multiplexer_of_its_own(engine: Engine, edge: Interpreter, tmp_path: pathlib.Path):
    """Code that takes the place of other code in the middle of a run does not meet what that started."""
    root = pathlib.Path(supervisor.__file__).resolve().parents[2]
    new = tmp_path / 'new'
    shutil.copytree(root / 'mitogen_core', new / 'mitogen_core', ignore=shutil.ignore_patterns('__pycache__'))
    constants = new / 'mitogen_core/wire/constants.py'
    text, count = re.subn(r'(?m)^VERSION = \d+$', 'VERSION = 999', constants.read_text())
    assert count == 1
    constants.write_text(text)
    context = engine.local(edge.path)
    code = ('import sys; from mitogen_core.controller import supervisor; c = supervisor.connect(sys.argv[1], '
            'int(sys.argv[2])); print(c.call(0, "status", "status", {}, timeout=30)[0]["pid"])')
    pids = [int(subprocess.run([sys.executable, '-c', code, str(engine.folder), str(engine.watched.pid)], cwd=new,
                               stdout=subprocess.PIPE, timeout=SECONDS, check=True).stdout) for _ in range(2)]
    assert pids[0] == pids[1] != engine.mux_pid
    assert engine.execute(context, ['echo', 'still here']).out == b'still here\n'
    assert engine.connect().call(ROOT, 'status', 'status', {}, timeout=SECONDS)[0]['pid'] == engine.mux_pid
    engine.end_watched()
    leaks.wait_until(lambda: not leaks.alive(pids[0]), 'the end of the other with the run')
