"""A hop in the hands of somebody else, or a host behind an honest one: what it says is of itself and of what is behind.
"""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from mitogen_core.wire.constants import ROOT
from mitogen_core.wire.errors import CallError, ChannelError
from tests.support import interpreters, leaks
from tests.support.engine import SECONDS, Engine, boot_argv, login
from tests.support.innocent import NAME, Innocent, expanduser, harmless
from tests.support.misdeeds import DEEDS

BEHIND = 'a host behind'


def behind(name: str = BEHIND, **more: Any) -> dict[str, Any]:
    return dict(login(name, boot_argv(interpreters.newest().path), **more), login=True)


@pytest.mark.parametrize(('deed', 'error'), [
    ('lie_about_another', 'the link ended'),
    ('fail_strangely', 'unusable message'),
    ('giant_length', 'protocol error: a frame of 4294967295 bytes'),
    ('end_with_escapes', 'exit code 3'),
])
def test_a_hop_that_answers_nonsense(world: Innocent, deed: str, error: str):
    """Whoever waits for a host behind it is told at once, by that host's name."""
    with pytest.raises((CallError, ChannelError), match=f'(?s)^{BEHIND} through {NAME}: .*({error})') as caught:
        world.engine.get(world.login(deed), behind())
    harmless(caught.value)
    world.unharmed()


def test_a_hop_that_tells_endlessly(world: Innocent):
    """What a command says on the way, to a client that does not read."""
    other = world.engine.connect()
    other.start(ROOT, 'contexts', 'get', {'chain': [world.login('tell_endlessly'), behind()]})
    leaks.wait_until(lambda: len(world.engine.status()['contexts']) == 3, 'the hosts')
    for _ in range(50):
        world.serves()
        time.sleep(0.01)
    assert world.engine.client.call(ROOT, 'contexts', 'reset', {'keys': [NAME]}, timeout=SECONDS)[0] is True
    world.unharmed()


def test_a_hop_that_forges_answers_for_hosts_elsewhere(world: Innocent, fifo: Callable[[str], str]):
    """While they are being started: through another hop, and from here."""
    gates = [fifo(name) for name in ('gate 1', 'gate 2')]
    world.before.update(gates)
    chains = []
    for number, gate in enumerate(gates):
        script = f'read x <"{gate}"; {boot_argv(interpreters.newest().path)[-1]}'
        hop = login(f'slow {number}', ['/bin/sh', '-c', script])
        chains.append([{'key': 'victim', 'spec': None}, dict(hop, login=True)] if number else [hop])
    clients = [world.engine.connect() for _ in chains]
    handles = [client.start(ROOT, 'contexts', 'get', {'chain': chain})
               for client, chain in zip(clients, chains, strict=True)]
    leaks.wait_until(lambda: len(world.engine.status()['contexts']) == 3, 'the slow hosts')
    villain = world.engine.get(world.login('route_and_forge'))[0][0]
    with pytest.raises(ChannelError, match=f'^{NAME}: protocol error: a route for context'):
        expanduser(world.engine.client, villain)
    assert [each['ready'] for each in world.engine.status()['contexts']] == [True, False, False]
    for gate, client, handle in zip(gates, clients, handles, strict=True):
        pathlib.Path(gate).write_text('go on\n')
        found = client.wait(handle, 'a context', SECONDS)[0]['ids'][-1]
        assert client.call(found, 'processes', 'exec', {'argv': ['echo', 'mine']}, timeout=SECONDS)[1] == b'mine\n'
    world.unharmed()


@pytest.fixture
def world(engine: Engine, tmp_path: pathlib.Path) -> Innocent:
    return Innocent(engine, tmp_path)


@pytest.mark.parametrize(('deed', 'error'), [
    ('route_to_others', 'a route for id 1'),
    ('giant_length', 'a frame of 4294967295 bytes'),
    ('giant_head', 'a message head of'),
    ('pickled_call', "may not hold 'os'"),
    ('deep_nesting', 'too deep'),
    ('unfinished_messages', 'a message that is too long'),
])
def test_a_host_behind_an_honest_hop(world: Innocent, deed: str, error: str):
    """It is ended, and neither the hop nor another one behind that."""
    hop = {'key': 'victim', 'spec': None}
    engine, other = world.engine, world.engine.get({'key': 'victim', 'spec': None}, behind())[0][-1]
    villain = engine.get(hop, dict(world.login(deed), login=True))[0][-1]
    with pytest.raises(ChannelError, match=f'(?s)^{NAME} through victim: .*{error}') as caught:
        expanduser(engine.client, villain)
    harmless(caught.value)
    assert {context['id'] for context in engine.status()['contexts']} == {world.victim, other}
    expanduser(engine.client, other)
    leaks.wait_until(lambda: len(leaks.descendants(engine.mux_pid)) == 3, 'its end')
    world.unharmed()


def test_a_host_that_claims_what_is_being_started_beside_it(world: Innocent, fifo: Callable[[str], str]):
    """Behind the same hop, which is asked to start both."""
    gate = fifo('gate')
    world.before.add(gate)
    script = f'read x <"{gate}"; {boot_argv(interpreters.newest().path)[-1]}'
    hop, slow = {'key': 'victim', 'spec': None}, dict(login('slow', ['/bin/sh', '-c', script]), login=True)
    client = world.engine.connect()
    handle = client.start(ROOT, 'contexts', 'get', {'chain': [hop, slow]})
    leaks.wait_until(lambda: len(world.engine.status()['contexts']) == 2, 'the slow host')
    villain = world.engine.get(hop, dict(world.login('route_and_forge'), login=True))[0][-1]
    with pytest.raises(ChannelError, match=f'^{NAME} through victim: '):
        expanduser(world.engine.client, villain)
    pathlib.Path(gate).write_text('go on\n')
    found = client.wait(handle, 'a context', SECONDS)[0]['ids'][-1]
    expanduser(client, found)
    world.unharmed()


# Those that come to an end when they are asked for a path.
DONE = sorted(name for name in DEEDS if not name.startswith('endless') and name not in (
    'answer_late', 'ask_and_not_read', 'flood', 'not_read', 'tell_endlessly'))


@pytest.mark.parametrize('deed', DONE)
def test_any_deed_behind_an_honest_hop(world: Innocent, deed: str):
    villain = world.engine.get({'key': 'victim', 'spec': None}, dict(world.login(deed), login=True))[0][-1]
    try:
        world.engine.client.call(villain, 'files', 'expanduser', {'path': '/x'}, timeout=SECONDS)
    except (CallError, ChannelError) as e:
        harmless(e)
    world.unharmed()
