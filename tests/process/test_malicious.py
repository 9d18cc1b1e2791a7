"""A target in the hands of somebody else, over a real link to a real multiplexer: whatever it says (misdeeds.py in
tests/support), it loses its own link at most.  Another target is served before, during and after; the multiplexer keeps
to its memory; nothing is written; errors name the host and can be printed."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mitogen_core.controller.client import Client
from mitogen_core.wire.constants import CHUNK, ROOT
from mitogen_core.wire.errors import CallError, ChannelError
from tests.support import leaks
from tests.support.beside import beside
from tests.support.engine import SECONDS, Engine
from tests.support.innocent import BOUND, NAME, Innocent, expanduser, harmless
from tests.support.misdeeds import DEEDS, GREETINGS

MEGABYTE = 1 << 20
# By one that asks and asks and reads nothing of the answers: a link is given up where more waits for it.
BOUND_OF_ANSWERS = 96 * MEGABYTE
# Where profiles are wished, by each that inflates.
BOUND_OF_PROFILES = 384 * MEGABYTE
# What is awaited of one that does not end by itself.
FLOOD = 8 * MEGABYTE
PATH = '/etc/hostname'


@dataclass
class Case:
    """How a deed ends for whoever had asked: with an answer, an error that matches, or not at all (the link is then
    ended by hand)."""

    error: str = ''
    endless: bool = False
    # What was asked for: see ASK.
    ask: str = 'expanduser'
    bound: int = BOUND
    # Does the link stay?
    stays: bool = True


def ends(error: str, **more: Any) -> Case:
    return Case(f'^{NAME}: .*{error}', stays=False, **more)


CASES = {
    'forge_sources': Case(),
    'answer_for_others': Case(),
    'route_to_others': ends('a route for context 1, which was not asked for here'),
    'talk_to_others': Case(),
    'bring_code': Case(),
    'subscribe_and_publish': Case(),
    'giant_length': ends('protocol error: a frame of 4294967295 bytes'),
    'giant_head': ends('protocol error: a message head of'),
    'pickled_call': ends("protocol error: a message may not hold 'os'.'system'"),
    'deep_nesting': ends('protocol error: a message is too deep'),
    'laughs': Case(),
    'a_hello_too_many': Case(),
    'unfinished_messages': ends('protocol error: a message that is too long'),
    'endless_logs': Case(endless=True),
    'endless_refusals': Case(endless=True),
    'endless_keeping': Case(endless=True),
    'endless_progress': Case(endless=True),
    'endless_heartbeats': Case(endless=True),
    'flood': ends('protocol error: .* more than its window', ask='stopped'),
    'window': ends('protocol error: a window of 1073741824 bytes that were not sent'),
    'ask_and_not_read': ends('it does not read what it is sent', bound=BOUND_OF_ANSWERS),
    'not_read': Case(endless=True, ask='write'),
    'answer_twice': Case(),
    'answer_late': Case(ask='gone'),
    'answer_strangely': Case('^files.expanduser: the answer can not be read'),
    'error_with_escapes': Case(r'^\\x1b\[2J'),
    'end_with_escapes': ends(r'exit code 3.*\\x1b\[2J'),
    'slowly': Case(),
    'shut_its_output': ends('the link ended|end of stream'),
    'shut_its_input': ends('write: Broken pipe|end of stream|the link ended'),
    'another_path': Case(f'^reading {PATH}: not what was asked for', ask='read'),
    'more_than_asked': Case(f'^reading {PATH}: not what was asked for', ask='read'),
    'endless_file': Case(endless=True, ask='read'),
    'giant_state': Case(),
    'state_with_escapes': Case(),
}
# What only others' tests do.
ELSEWHERE = {'bombs', 'lie_about_another', 'fail_strangely', 'tell_endlessly', 'route_and_forge'}


def links(client: Client) -> dict[int, dict[str, Any]]:
    return dict(client.call(ROOT, 'status', 'status', {}, timeout=SECONDS)[0]['links'])


def expanduser_later(client: Client, context: int) -> None:
    client.tell_to(context, 'files', 'expanduser', {'path': '/x'})


def read(engine: Engine, client: Client, context: int) -> None:
    for _ in client.get(context, PATH):
        pass


def write(engine: Engine, client: Client, context: int) -> None:
    client.put(context, '/x', (bytes(CHUNK) for _ in range(1000)), 0o600)


def stopped(engine: Engine, client: Client, context: int) -> None:
    """By somebody who does not read; then what has become of it."""
    handle, other = client.start(context, 'files', 'expanduser', {'path': '/x'}), engine.connect()
    leaks.wait_until(lambda: context not in links(other), 'the end of its link')
    client.wait(handle, 'the path', SECONDS)


def gone(engine: Engine, client: Client, context: int) -> None:
    """By somebody who does not wait."""
    other = engine.connect()
    other.start(context, 'files', 'expanduser', {'path': '/x'})
    links(other)  # by now it is under way
    before = links(client)[context]['received']
    other.close()
    leaks.wait_until(lambda: links(client)[context]['received'] > before + 5 * CHUNK, 'what comes late')


ASK: dict[str, Callable[[Engine, Client, int], None]] = {
    'expanduser': lambda engine, client, context: expanduser(client, context),
    **{function.__name__: function for function in (read, write, stopped, gone)}}


@pytest.fixture
def world(engine: Engine, tmp_path: pathlib.Path) -> Innocent:
    return Innocent(engine, tmp_path)


@contextlib.contextmanager
def meanwhile(world: Innocent, action: Callable[[Client], None]) -> Iterator[list[BaseException | None]]:
    """action(client of its own) in a thread; what it raised, or None, is in the list when it has ended."""
    done: list[BaseException | None] = []
    client = world.engine.connect()

    def work() -> None:
        try:
            action(client)
            done.append(None)
        except (CallError, ChannelError) as e:
            done.append(e)
    with beside(work):
        yield done


def test_all_deeds_are_done():
    assert {*CASES, *ELSEWHERE} == set(DEEDS)


@pytest.mark.parametrize('deed', CASES)
def test_deeds(world: Innocent, deed: str):
    case, engine = CASES[deed], world.engine
    villain = engine.get(world.login(deed))[0][0]
    with meanwhile(world, lambda client: ASK[case.ask](engine, client, villain)) as done:
        world.serves()
        if case.endless:
            other = engine.connect()
            while case.ask != 'write' and links(other)[villain]['received'] < FLOOD:
                world.serves()
            assert not done, 'it is over already'
            assert engine.client.call(ROOT, 'contexts', 'reset', {'keys': [NAME]}, timeout=SECONDS)[0] is True
    text = harmless(done[0]) if done[0] else ''
    if case.endless:
        assert text.startswith(f'{NAME}: ')
    else:
        assert bool(text) == bool(case.error) and re.search(case.error, text, re.S), text
        contexts = {context['id']: context['name'] for context in engine.status()['contexts']}
        assert (villain in contexts) == case.stays
    world.unharmed(case.bound)
    assert 'forged' not in engine.logged().replace('fatal: [victim]: forged', '')


@pytest.mark.parametrize(('greeting', 'error'), [
    ('another_id', 'context 2 says that it is 1'),
    ('no_user', 'a hello without user'),
    ('a_long_name', 'a hello without host'),
    ('another_version', 'the peer speaks version'),
    ('no_hello', 'a frame before the hello'),
    ('no_word', 'timeout'),
    ('no_mark', 'timeout'),
])
def test_greetings(world: Innocent, greeting: str, error: str):
    hop = world.login(greeting)
    if error == 'timeout':
        hop['spec']['timeout'] = 1
    with pytest.raises(CallError, match=f'^{NAME}: .*{error}') as caught:
        world.engine.get(hop)
    harmless(caught.value)
    world.unharmed()
    assert [context['name'] for context in world.engine.status()['contexts']] == ['victim']


def test_all_greetings_are_given():
    marks = next(mark for mark in test_greetings.pytestmark if mark.name == 'parametrize')
    assert {name for name, _ in marks.args[1]} - {'no_mark'} == set(GREETINGS)


def test_noise_before_the_first_word(world: Innocent):
    """On stderr, without end, to a client that does not read."""
    other = world.engine.connect()
    hop = world.login('noise')
    hop['spec']['timeout'] = 2
    handle = other.start(ROOT, 'contexts', 'get', {'chain': [hop]})
    leaks.wait_until(lambda: NAME in {each['name'] for each in world.engine.status()['contexts']}, 'the login')
    while NAME in {each['name'] for each in world.engine.status()['contexts']}:
        world.serves()
    with pytest.raises(CallError, match=f'^{NAME}: timeout') as caught:
        other.wait(handle, 'a context', SECONDS)
    assert len(caught.value.more['err']) <= 1 << 16
    world.unharmed()


class Heard(Exception):
    """Enough was heard."""


def first_news(client: Client, handle: int) -> dict[str, Any]:
    """The first publication that a subscription gets."""
    def told(head: dict[str, Any], bulk: bytes) -> None:
        if head:
            raise Heard(head)
    with pytest.raises(Heard) as caught:
        client.wait(handle, 'news', SECONDS, told)
    return dict(caught.value.args[0])


@pytest.mark.parametrize('deed', ['forge_sources', 'subscribe_and_publish'])
def test_who_publishes(world: Innocent, deed: str):
    """It publishes in its own name."""
    engine, other = world.engine, world.engine.connect()
    handle = other.start(ROOT, 'channels', 'subscribe', {'slot': 'news'})
    links(other)
    villain = engine.get(world.login(deed))[0][0]
    expanduser(engine.client, villain)
    engine.client.tell('channels', 'publish', {'slot': 'news', 'value': 'the end', 'keep': False})
    news = first_news(other, handle)
    if deed == 'forge_sources':
        assert (news['value'], news['source']) == ('the end', ROOT)
    else:
        assert (news['value'], news['source'], news['name']) == ('mine', villain, NAME)
    world.unharmed()


@pytest.mark.parametrize('deed', ['giant_state', 'state_with_escapes'])
def test_what_it_says_of_itself(world: Innocent, deed: str):
    """Also where another one says nothing, and the state is told by a timer."""
    engine = world.engine
    villain = engine.get(world.login(deed))[0][0]
    expanduser(engine.client, villain)
    for more in ([], [{'key': 'silent', 'spec': world.login('not_read')['spec']}]):
        for hop in more:
            expanduser_later(engine.client, engine.get(hop)[0][0])
        tree, _ = engine.client.call(ROOT, 'status', 'tree', {}, timeout=SECONDS)
        assert all(line.isprintable() for line in tree['lines'])
        said = {context['id']: context['status'] for context in tree['contexts']}
        assert 'runners' in said[world.victim]
        assert deed != 'giant_state' or said[villain] == {'error': 'it says too much of itself'}
        before = engine.logged().count('clients, ')
        os.kill(engine.mux_pid, signal.SIGUSR1)
        leaks.wait_until(lambda before=before: engine.logged().count('clients, ') > before, 'the state in the log')
    world.unharmed()


def test_bombs_in_profiles(clean: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """What a target tells of itself at the end of a run that is profiled."""
    profiles, home = tmp_path / 'profiles', tmp_path / 'home'
    home.mkdir()
    monkeypatch.setenv('HOME', str(home))
    monkeypatch.setenv('MITOSIS_PROFILE', str(profiles))
    engine = Engine(tmp_path, clean)
    try:
        world = Innocent(engine, tmp_path)
        expanduser(engine.client, engine.get(world.login('bombs'))[0][0])
        engine.end_watched()
        leaks.wait_until(lambda: any(profiles.glob('multiplexer-*')), 'its profile')
        peak = 0
        while leaks.alive(engine.mux_pid):
            with contextlib.suppress(OSError, ValueError, IndexError):
                peak = max(peak, world.memory.growth)
            time.sleep(0.01)
    finally:
        engine.stop()
    assert 0 < peak < BOUND_OF_PROFILES
    found = {path.name for path in tmp_path.rglob('*')} - {path.rpartition('/')[2] for path in world.before}
    assert {re.sub('[0-9]+', '', name) for name in found} <= {
        'profiles', 'mux.log', 'multiplexer-controller-.prof', 'broker-victim-.prof', 'runner-victim-.prof',
        'broker-the_villain-.prof'}
    assert not list(home.iterdir())
