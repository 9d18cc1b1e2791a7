"""Logins that start from other contexts, and how many contexts of a host are kept."""

from __future__ import annotations

import itertools
import os
import pathlib
import signal

import pytest

from mitogen_core.wire.constants import ROOT
from mitogen_core.wire.errors import CallError, ChannelError
from tests.support import leaks
from tests.support.engine import Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.standin import Runners

CODE = 20_000


def hop(name: str, argv: list[str], **more: object) -> dict[str, object]:
    return dict(login(name, argv, **more), login=True)


def test_code_goes_to_a_hop_once(engine: Engine, edge: Interpreter, tmp_path: pathlib.Path):
    up = tmp_path / 'up'
    first = hop('first', ['/bin/sh', '-c', f'tee {up} | {boot_argv(edge.path)[-1].removeprefix("exec ")}'])
    sizes = []
    for number in range(4):
        ids, _ = engine.get(first, hop(f'behind {number}', boot_argv(edge.path)))
        assert engine.execute(ids[1], ['echo', 'there']).out == b'there\n'
        assert Runners(engine, ids[1]).probe('').rc == 0
        sizes.append(up.stat().st_size)
    grown = [after - before for before, after in itertools.pairwise(sizes)]
    assert sizes[0] > CODE and max(grown) < 2_000, sizes


def test_a_lost_hop_is_named(engine: Engine, edge: Interpreter):
    ids, hellos = engine.get(hop('first', boot_argv(edge.path)), hop('second', boot_argv(edge.path)),
                             hop('third', boot_argv(edge.path)))
    other = engine.local(edge.path, 'other')
    handles = [engine.client.start(context, 'processes', 'exec', {'argv': ['sleep', '3600']}) for context in ids[1:]]
    assert engine.execute(ids[2], ['true']).rc == 0  # by then the others are under way
    os.kill(hellos[0]['pid'], signal.SIGKILL)
    for handle, name in zip(handles, ('second through first', 'third through second through first'), strict=True):
        with pytest.raises(ChannelError, match=f'^{name}: lost with first: '):
            engine.client.wait(handle, 'a command', 30)
    assert engine.execute(other, ['echo', 'on']).out == b'on\n'


def test_a_password_for_a_login_from_a_hop(engine: Engine, edge: Interpreter, tmp_path: pathlib.Path):
    """Its descriptor is all that the command sees of it."""
    script = tmp_path / 'pass'
    script.write_text(f'#!/bin/sh\nword=$(head -n 1 "/proc/self/fd/${{1#-d}}")\n[ "$word" = secret ] || exit 5\n'
                      f'exec {boot_argv(edge.path)[-1].removeprefix("exec ")}\n')
    script.chmod(0o700)
    for word, fine in ((b'secret', True), (b'other', False)):
        spec = {'password': word, 'password_fd': 1}
        chain = hop('first', boot_argv(edge.path)), hop(f'by {word!r}', [str(script), '-d'], **spec)
        if fine:
            ids, _ = engine.get(*chain)
            assert engine.execute(ids[1], ['echo', 'in']).out == b'in\n'
        else:
            with pytest.raises(CallError, match='exit code 5'):
                engine.get(*chain)


def test_what_is_used_least_is_ended_first(engine: Engine, edge: Interpreter):
    host = hop('host', boot_argv(edge.path), most=3)

    def account(name: str, client=None) -> int:
        return engine.get(host, login(name, boot_argv(edge.path)), client=client)[0][1]

    def kept() -> set[str]:
        return {each['name'] for each in engine.status()['contexts']} - {'host'}
    worker = engine.connect()
    ids = {name: account(name, worker) for name in ('a', 'b', 'c', 'd')}
    # All are in use: none is ended.
    assert kept() == {'a', 'b', 'c', 'd'}
    engine.client.start(ids['a'], 'processes', 'exec', {'argv': ['sleep', '3600']})
    worker.close()
    other = engine.connect()
    assert [account(name, other) for name in ('b', 'd')] == [ids['b'], ids['d']]
    other.close()
    leaks.wait_until(lambda: engine.status()['clients'] == 1, 'the end of the other clients')
    # `a` is busy; of the others so many are ended that three are left, the new one counted.
    last = engine.connect()
    account('e', last)
    leaks.wait_until(lambda: kept() == {'a', 'd', 'e'}, 'the end of b and c')


def test_reset_behind_a_hop(engine: Engine, edge: Interpreter, fifo):
    """It ends that login and what hangs on it; who waits for something on it is told, and the hop stays."""
    first, second = hop('first', boot_argv(edge.path)), hop('second', boot_argv(edge.path))
    ids, hellos = engine.get(first, second)
    gate = fifo('gate')
    slow = login('slow', ['/bin/sh', '-c', f'read x <{gate}'])
    handle = engine.client.start(ROOT, 'contexts', 'get', {'chain': [first, second, slow]})
    leaks.wait_until(lambda: len(engine.status()['contexts']) == 3, 'the third')
    other = engine.connect()
    assert other.call(ROOT, 'contexts', 'reset', {'keys': ['first', 'second']}, timeout=30)[0] is True
    with pytest.raises(CallError) as failed:
        engine.client.wait(handle, 'a context', 30)
    assert failed.value.kind == 'retry'
    leaks.wait_until(lambda: not leaks.alive(hellos[1]['pid']), 'the end of the second')
    assert engine.execute(ids[0], ['echo', 'stays']).out == b'stays\n'
    again, _ = engine.get(first, second)
    assert again[0] == ids[0] and again[1] != ids[1]
