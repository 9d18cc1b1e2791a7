"""Queues of subscriptions, their policies, what is kept, and whom it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.controller.channels import (
    AHEAD,
    MAX_KEPT,
    MAX_KEPT_OF_ONE,
    MAX_NAME,
    MESSAGE_COST,
    POLICIES,
    Channels,
)
from mitogen_core.wire.constants import CHUNK, FIRST_CLIENT, MAX_HEAD, SUBSCRIBE
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.payloads import pack, unpack


class Call:
    """A client's request."""

    def __init__(self, client: int = FIRST_CLIENT, reply_to: int = 1000) -> None:
        self.client, self.reply_to = client, reply_to
        self.got: list[tuple[dict[str, Any], bytes]] = []
        self.answer: Any = None
        self.error = ''
        self.on_cancel: Callable[[], None] | None = None

    def progress(self, head: Any, bulk: bytes = b'') -> None:
        self.got.append((head, bulk))

    def reply(self, value: Any = None) -> None:
        assert self.answer is None
        self.answer = ('ok', value)

    def fail(self, kind: str, text: str) -> None:
        self.error = text

    @property
    def values(self) -> list[Any]:
        return [head['value'] for head, _ in self.got[1:]]


class World:
    """A multiplexer with contexts 1 and 2."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str, bool]] = []
        self.held: list[Any] = []
        self.logged: list[str] = []
        self.mux = self.router = self.contexts = self.log = self
        self.children = {1: self, 2: self}
        self.link = self
        self.channels = Channels(self)

    # as the router, a link, the service contexts, the log

    def all(self) -> list[int]:
        return [1, 2]

    def link_of(self, context: int) -> int:
        return context

    def send(self, frame) -> None:
        assert frame.handle == SUBSCRIBE
        head = unpack(frame.payload)[0]
        self.told.append((frame.dst, head['slot'], head['wanted']))

    def name_of(self, context: int) -> str:
        return f'context {context}'

    def about(self, where: str, level: int, text: str) -> None:
        self.logged.append(text)

    # events

    def subscribe(self, slot: str = 'slot', reply_to: int = 1000, **args: Any) -> Call:
        call = Call(reply_to=reply_to)
        self.channels.do_subscribe(call, {'slot': slot, **args}, b'')
        return call

    def publish(self, value: Any, slot: str = 'slot', context: int = 1, bulk: bytes = b'', keep: bool = False) -> None:
        def hold() -> Callable[[], None]:
            self.held.append(value)
            return lambda: self.held.remove(value)
        self.channels.published(context, {'slot': slot, 'value': value, 'keep': keep}, bulk, hold)

    def take(self, call: Call, number: int = AHEAD) -> None:
        self.channels.do_taken(Call(call.client, 0), {'handle': call.reply_to, 'number': number}, b'')


@pytest.fixture
def world() -> World:
    return World()


def test_a_message(world: World):
    call = world.subscribe()
    world.publish('x', context=2, bulk=b'bulk')
    head = {'slot': 'slot', 'value': 'x', 'source': 2, 'name': 'context 2', 'keep': False}
    assert call.got == [({}, b''), (head, b'bulk')]


def test_contexts_are_told_what_is_wanted(world: World):
    one, two = world.subscribe(), world.subscribe(reply_to=1001)
    assert world.told == [(1, 'slot', True), (2, 'slot', True)]
    world.children[3] = world
    world.channels.joined(3)
    assert world.told[2:] == [(3, 'slot', True)]
    one.on_cancel()
    assert len(world.told) == 3
    two.on_cancel()
    assert world.told[3:] == [(1, 'slot', False), (2, 'slot', False)]
    world.publish('x')
    assert one.values == two.values == [] and not world.held


def test_many_to_many(world: World):
    calls = [world.subscribe(reply_to=1000 + n) for n in range(3)]
    other = world.subscribe('other', 2000)
    for n in range(4):
        world.publish(n, context=1 + n % 2)
    assert all(call.values == [0, 1, 2, 3] for call in calls) and other.values == []


def test_a_client_publishes(world: World):
    call = world.subscribe()
    publisher = Call(FIRST_CLIENT + 1)
    world.channels.do_publish(publisher, {'slot': 'slot', 'value': 'x'}, b'')
    assert publisher.answer == ('ok', 1)
    assert call.got[1][0] == {'slot': 'slot', 'value': 'x', 'source': 0, 'name': 'controller', 'keep': False}


@pytest.mark.parametrize('args', [{}, {'slot': ''}, {'slot': 7}, {'slot': 'x' * (MAX_NAME + 1)}, {'slot': b'x'}])
def test_what_is_no_slot(world: World, args):
    for method in ('do_subscribe', 'do_publish'):
        call = Call()
        getattr(world.channels, method)(call, args, b'')
        assert call.error
    world.channels.published(1, args, b'', pytest.fail)


def test_other_refusals(world: World):
    call = Call()
    world.channels.do_subscribe(call, {'slot': 'slot', 'policy': 'perhaps'}, b'')
    assert call.error
    call = Call()
    world.channels.do_publish(call, {'slot': 'slot'}, bytes(CHUNK + 1))
    assert call.error


def room(number: int) -> int:
    """The size of a queue for so many small messages."""
    return number * (MESSAGE_COST + 100)


@pytest.mark.parametrize(('policy', 'left'), [('oldest', [AHEAD + 3, AHEAD + 4]), ('newest', [AHEAD, AHEAD + 1])])
def test_a_full_queue_drops_and_counts(world: World, policy: str, left: list[int]):
    call = world.subscribe(size=room(2), policy=policy)
    for n in range(AHEAD + 5):
        world.publish(n)
    assert call.values == list(range(AHEAD)) and not world.held
    [described] = world.channels.describe()
    assert described['dropped'] == 3 and described['bytes'] <= room(2)
    world.take(call)
    assert call.values[AHEAD:] == left
    assert [head.get('dropped') for head, _ in call.got[AHEAD + 1:]] == [3, None]


def test_publishers_that_wait(world: World):
    call = world.subscribe(size=room(2), policy='block')
    publisher = Call(FIRST_CLIENT + 1)
    for n in range(AHEAD + 2):
        world.publish(n)
    assert not world.held
    world.publish('third')
    world.channels.do_publish(publisher, {'slot': 'slot', 'value': 'fourth'}, b'')
    assert world.held == ['third'] and not publisher.answer
    world.take(call, 1)
    assert world.held == [] and not publisher.answer
    world.take(call)
    assert publisher.answer == ('ok', 1)
    assert call.values == [*range(AHEAD + 2), 'third', 'fourth']


def test_a_blocking_subscriber_that_goes_holds_nobody(world: World):
    call = world.subscribe(size=1, policy='block')
    for n in range(AHEAD + 5):
        world.publish(n)
    assert world.held
    call.on_cancel()
    assert not world.held


def test_a_large_message_in_a_small_queue(world: World):
    call = world.subscribe(size=1)
    for n in range(AHEAD + 1):
        world.publish(n, bulk=bytes(1000))
    world.take(call)
    assert call.values == list(range(AHEAD + 1))


def test_a_value_that_is_almost_too_large_is_refused_at_once(world: World):
    """Or it would be while somebody else's message is being passed on."""
    call = world.subscribe()
    for n in range(AHEAD):
        world.publish(n)
    for size in range(MAX_HEAD - 600, MAX_HEAD, 10):
        with pytest.raises(ProtocolError):
            world.publish('x' * size)
    world.publish('x' * (MAX_HEAD - 2 * MESSAGE_COST))
    world.take(call)
    assert pack(['progress', dict(call.got[-1][0], dropped=1 << 60)])


def test_what_is_kept(world: World):
    world.publish('old', keep=True)
    world.publish('new', keep=True)
    world.publish('other', keep=True, context=2)
    world.publish('passing')
    call = world.subscribe()
    assert call.values == ['new', 'other']
    world.channels.gone(1)
    assert call.got[-1][0]['gone'] and call.got[-1][0]['source'] == 1
    assert world.subscribe(reply_to=1001).values == ['other']
    world.channels.gone(2)
    world.channels.gone(2)
    assert not world.channels.kept and not world.channels._kept_bytes


def test_what_is_kept_is_bounded(world: World):
    for n in range(2 * MAX_KEPT_OF_ONE // CHUNK):
        world.publish(n, slot=f'slot {n}', bulk=bytes(CHUNK), keep=True)
    assert world.channels._kept_bytes.total() <= MAX_KEPT_OF_ONE
    assert 'no room to keep what context 1 says' in world.logged[0]
    # That is its own loss.
    world.publish('mine', slot='slot 0', bulk=bytes(CHUNK), keep=True, context=2)
    assert world.subscribe('slot 0').values == [0, 'mine']
    for context in range(3, 3 + 2 * MAX_KEPT // MAX_KEPT_OF_ONE):
        for n in range(MAX_KEPT_OF_ONE // CHUNK):
            world.publish(n, slot=f'slot {n}', bulk=bytes(CHUNK), keep=True, context=context)
    assert MAX_KEPT - CHUNK < world.channels._kept_bytes.total() <= MAX_KEPT
    world.channels.gone(1)
    assert 1 not in world.channels._kept_bytes


@given(st.sampled_from(POLICIES), st.integers(1, 5), st.lists(st.one_of(st.none(), st.integers(1, 8)), max_size=80))
def test_nothing_is_lost_unseen(policy: str, size: int, events: list[int | None]):
    """None: a publication; a number: so many are taken.  Each publication comes, in order, or is counted."""
    world = World()
    call = world.subscribe(size=room(size), policy=policy)
    published = 0
    for event in events:
        if event is None:
            world.publish(published)
            published += 1
        else:
            world.take(call, event)
    while True:
        before = len(call.values)
        world.take(call)
        if len(call.values) == before:
            break
    assert call.values == sorted(set(call.values))
    dropped = world.channels.describe()[0]['dropped']
    assert len(call.values) + dropped == published and not world.held
    told = sum(head.get('dropped', 0) for head, _ in call.got)
    assert told + world.channels.slots['slot'][0].untold == dropped
    assert policy != 'block' or not dropped
