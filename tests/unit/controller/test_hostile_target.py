"""A target that sends what it likes: its own link may end, nothing else does."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mitogen_core.controller.calls import OwnCall, Pending
from mitogen_core.remote.link import Link
from mitogen_core.wire.constants import (
    ADD_ROUTE,
    CALL_SERVICE,
    DEL_ROUTE,
    FIRST_CLIENT,
    FORWARD_LOG,
    GET_MODULE,
    HELLO,
    IS_DEAD,
    ROOT,
)
from mitogen_core.wire.payloads import Assembler
from tests.support.world import OWN, REFUSED, UNUSED, VICTIM, VILLAIN, a_world, sent


@pytest.mark.parametrize('name', REFUSED)
def test_nothing_else_is_harmed(name):
    with a_world() as world:
        world.villain.feed(REFUSED[name])
        world.unharmed()
        assert world.mux.loop.running is False
        assert {each.__name__ for each in world.mux.loop._soon} <= {'_make_room'}, 'nothing was started'


heads = st.recursive(st.one_of(st.none(), st.integers(-2, 90), st.sampled_from(['id', 'ok', 'error', b'\xff'])),
                     lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
                         st.sampled_from(['id', 'reason', 'level', 'text', 'kind']), inner, max_size=3)), max_leaves=4)
handles = st.sampled_from([GET_MODULE, FORWARD_LOG, ADD_ROUTE, DEL_ROUTE, CALL_SERVICE, HELLO, OWN, OWN + 1, OWN + 2])


@settings(max_examples=15)
@given(st.lists(st.tuples(handles, heads, st.sampled_from([ROOT, VICTIM, FIRST_CLIENT, UNUSED]),
                          st.sampled_from([VILLAIN, VILLAIN, VICTIM, ROOT]), st.sampled_from([0, IS_DEAD, 1000])),
                min_size=1, max_size=3))
def test_any_messages(messages):
    with a_world() as world:
        for handle, head, dst, src, reply_to in messages:
            world.villain.feed(sent(handle, head, dst=dst, src=src, reply_to=reply_to))
        world.unharmed()


@pytest.mark.parametrize('first', ['context', 'client'])
def test_a_worker_and_a_context_that_are_gone_together(first):
    """Telling either of the other's end finds that one gone too, in the middle of the telling."""
    with a_world() as world:
        ours, theirs = socket.socketpair()
        fd = os.dup(ours.fileno())
        ours.close()
        mux, client = world.mux, FIRST_CLIENT
        link = mux.clients[client] = Link(mux.loop, fd, fd, mux._on_client_frame, mux._on_client_close, client)
        mux.assemblers[client] = Assembler()
        for reply_to in range(1000, 1008):
            mux.pending[client, reply_to] = Pending(VILLAIN, 0)
        mux.pending[client, 2000] = Pending(VICTIM, 0)
        theirs.close()
        if first == 'context':
            world.villain.close('gone')
            mux.context_gone(VILLAIN, 'gone')
        else:
            world.sockets[2].close()  # the other end of the villain's link
            link.close('gone')
        assert client not in mux.clients and not mux.pending
        assert world.victim.state == 'up'


def test_a_context_that_is_there_when_nobody_waits_any_more():
    """Its start was given up, and it has crossed that word on the way: no fault of the link."""
    with a_world() as world:
        world.mux.contexts.parents[UNUSED] = VILLAIN
        world.villain.feed(sent(ADD_ROUTE, {'id': UNUSED, 'parent': VILLAIN}))
        assert world.villain.state == 'up' and world.mux.router.link_of(UNUSED) == VILLAIN
        world.villain.feed(sent(DEL_ROUTE, {'id': UNUSED, 'reason': 'ended on request'}))
        assert world.villain.state == 'up' and world.mux.router.link_of(UNUSED) is None


def test_an_answer_that_can_not_be_used():
    """Whoever waits for it is told of the end of the link."""
    with a_world() as world:
        def use(kind, value, bulk):
            world.answers.append(kind)
            return kind == 'dead' or value['x']
        world.mux.own[OWN] = VILLAIN, OwnCall(use, None)
        world.villain.feed(sent(OWN, ['ok', {}]))
        assert world.villain.state == 'closed' and world.answers == ['ok', 'dead']
        assert OWN not in world.mux.own
