"""Whole processes in memory, and what one of their links brings: a multiplexer with a hostile target that is a hop too,
a broker with a hostile account below it."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator
from typing import Any

from mitogen_core.controller.calls import OwnCall, Pending
from mitogen_core.controller.contexts import Slot
from mitogen_core.controller.report import lines
from mitogen_core.remote.broker import Broker
from mitogen_core.remote.link import Link
from mitogen_core.remote.loop import Loop
from mitogen_core.wire.constants import (
    ADD_ROUTE,
    CALL_SERVICE,
    DEL_ROUTE,
    FIRST_CLIENT,
    FORWARD_LOG,
    GET_MODULE,
    HEARTBEAT,
    HELLO,
    IS_DEAD,
    LOAD_MODULE,
    PUBLISH,
    ROOT,
    WINDOW,
)
from mitogen_core.wire.frames import HEADER, Frame
from mitogen_core.wire.hello import hello
from mitogen_core.wire.payloads import MORE, PIECE, SIZE, Assembler, frames, pack
from tests.support.world import OWN, REFUSED, UNUSED, VICTIM, VILLAIN, World, a_world

# A context that is being started behind the villain, and another behind the victim; requests of the multiplexer.
BEHIND, NOT_BEHIND = 3, 4
# Hosts behind an honest hop.
EVIL, OTHER = 5, 6
SPAWN, STATUS, ASKED = OWN + 2, OWN + 3, OWN + 4
SAYS = {'python': [3, 11, 2], 'executable': '/usr/bin/python3', 'user': 'root', 'uid': 0, 'home': '/root',
        'host': 'web1'}
IDS = (ROOT, VILLAIN, VICTIM, BEHIND, NOT_BEHIND, EVIL, OTHER, UNUSED, FIRST_CLIENT, FIRST_CLIENT + 1)
HANDLES = (OWN, OWN + 1, SPAWN, STATUS, ASKED, ASKED + 1, ADD_ROUTE, DEL_ROUTE, GET_MODULE, FORWARD_LOG,
           PUBLISH, WINDOW, HEARTBEAT, HELLO, CALL_SERVICE, LOAD_MODULE, IS_DEAD)
REPLIES = (0, IS_DEAD, OWN, ASKED, PUBLISH)
# Of one message in the bytes: places in the three tables, and in the first again; how many bytes of payload.
ORDER = 6


def speech(data: bytes) -> bytes:
    """Frames with payloads of `data`: all that is looked for in tables is there."""
    stream, at = b'', 0
    while len(data) - at > ORDER:
        dst, src, handle, reply_to, *size = data[at:at + ORDER]
        payload = data[at + ORDER:at + ORDER + int.from_bytes(size, 'big')]
        at += ORDER + len(payload)
        stream += Frame(IDS[dst % len(IDS)], IDS[src % len(IDS)], HANDLES[handle % len(HANDLES)],
                        REPLIES[reply_to % len(REPLIES)], payload).encode()
    return stream


def spoken(*messages: tuple[int, int, int, int, Any, bytes, int]) -> bytes:
    """Bytes of which `speech` makes these: dst, src, handle, reply_to, head, bulk, flags."""
    found = b''
    for dst, src, handle, reply_to, head, bulk, flags in messages:
        payload = pack(head, bulk, flags)
        found += bytes([IDS.index(dst), IDS.index(src), HANDLES.index(handle), REPLIES.index(reply_to)])
        found += len(payload).to_bytes(2, 'big') + payload
    return found


class Watched(World):
    """Somebody waits for each kind of answer."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        mux = self.mux
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        fd = os.dup(ours.fileno())
        self.client = Link(mux.loop, fd, fd, mux._on_client_frame, mux._on_client_close, FIRST_CLIENT)
        self.client.event('hello')
        mux.clients[FIRST_CLIENT], mux.assemblers[FIRST_CLIENT] = self.client, Assembler()
        mux.pending[FIRST_CLIENT, ASKED] = Pending(VILLAIN, 0)
        mux.pending[FIRST_CLIENT, ASKED + 1] = Pending(VICTIM, 0)
        for number, (context, handle) in enumerate(((BEHIND, SPAWN), (NOT_BEHIND, 0))):
            hop = Slot((f'hop {number}',), f'hop {number}', True)
            hop.id, hop.hello = (VILLAIN, VICTIM)[number], dict(SAYS)
            slot = Slot((*hop.path, 'behind'), f'host {number}', True)
            slot.id, mux.contexts.parents[context] = context, hop.id
            for each in (hop, slot):
                mux.contexts.slots[each.path] = mux.contexts.by_id[each.id] = each
            if handle:
                def done(kind: str, value: Any, bulk: bytes, slot: Slot = slot) -> None:
                    mux.contexts.spawned(slot, kind, value)
                mux.own[handle] = VILLAIN, OwnCall(done, lambda head, bulk, slot=slot: mux.contexts.progress(
                    slot, head, bulk))
        mux._handles = itertools.count(ASKED + 100)
        mux.status.gather(lambda tree: list(lines(tree)))
        for handle, (context, _) in list(mux.own.items()):
            if context == VILLAIN and handle > ASKED:
                mux.own[STATUS] = mux.own.pop(handle)

    def unharmed(self) -> None:
        super().unharmed()
        assert self.client.state == 'up'
        assert (FIRST_CLIENT, ASKED + 1) in self.mux.pending
        assert self.mux.router.link_of(NOT_BEHIND) is None
        assert self.mux.contexts.slots['hop 1', 'behind'].hello is None

    def end(self) -> None:
        if self.client.state != 'closed':
            os.close(self.client.rfd)
        super().end()


def read_target(data: bytes) -> None:
    with a_world(Watched) as world:
        for part in (data[:len(data) // 2], data[len(data) // 2:]):
            world.villain.feed(part)
        world.mux.loop._soon, soon = [], world.mux.loop._soon
        for callback in soon:
            callback()
        world.unharmed()


def said_by_target(me: int = VILLAIN) -> list[bytes]:
    def one(handle: int, head: Any, bulk: bytes = b'', more: int = 0, dst: int = ROOT, src: int = me) -> Any:
        return dst, src, handle, 0, head, bulk, more
    return [
        spoken(one(OWN, ['ok', 1]), one(STATUS, ['ok', {'links': {}, 'runners': [], 'files': 0, 'calls': []}])),
        spoken(one(ADD_ROUTE, {'id': BEHIND, 'parent': me}), one(SPAWN, ['ok', hello(BEHIND, 5, **SAYS)])),
        spoken(one(SPAWN, ['progress', {'stream': 1}], b'Password: ', MORE),
               one(SPAWN, ['progress', {'rc': 1}], b'', MORE),
               one(SPAWN, ['error', {'kind': 'exit', 'text': 'exit code 1'}])),
        spoken(one(FORWARD_LOG, {'level': 30, 'name': 'x', 'text': 'y'}), one(GET_MODULE, ['d' * 32])),
        spoken(one(PUBLISH, {'slot': 'x', 'value': [1], 'keep': True}, b'bulk'), one(HEARTBEAT, None)),
        spoken(one(ASKED, ['progress', {'live': 1}], b'line\n', MORE, FIRST_CLIENT),
               one(ASKED, ['ok', {'rc': 0, 'out': 1}], b'x', 0, FIRST_CLIENT)),
        spoken(one(DEL_ROUTE, {'id': VICTIM, 'reason': 'forged'}), one(OWN + 1, ['ok', 0], src=VICTIM)),
        bytes([0, IDS.index(me), 1, 0, 0, 4]) + SIZE.pack(PIECE) + bytes([0, 1, 11, 4, 0, 4]) + SIZE.pack(9),
    ]


@contextlib.contextmanager
def a_broker(me: int = BEHIND, below: tuple[int, int] = (VILLAIN, VICTIM)) -> Iterator[
        tuple[Broker, list[Link], list[socket.socket]]]:
    """A broker, the links to two contexts below it, and sockets, of which the second is its parent's."""
    pairs = [socket.socketpair() for _ in range(3)]
    fds = [os.dup(ours.fileno()) for ours, _ in pairs]
    broker = Broker(Loop(), me, (fds[0], fds[0]), {'late': {}, 'parent': ROOT, 'alive': (0, 0)})
    broker.parent.event('hello')
    links = [Link(broker.loop, fd, fd, broker.on_frame, broker.on_close, context, True)
             for fd, context in zip(fds[1:], below, strict=True)]
    for link in links:
        link.event('hello')
        broker.children[link.name] = Below(link)
        broker.router.add(link.name, link.name)
    broker.children[UNUSED] = Below(links[0])  # is being started
    try:
        yield broker, links, [each for pair in pairs for each in pair]
    finally:
        broker.reaper.forget()
        broker.loop.forget()
        for link in (broker.parent, *links):
            if link.state != 'closed':
                os.close(link.rfd)
        for pair in pairs:
            for each in pair:
                each.close()


class Below:
    def __init__(self, link: Link) -> None:
        self.link = link

    def on_end(self, reason: str) -> None:
        pass


def read_account(data: bytes) -> None:
    with a_broker() as (broker, (villain, victim), sockets):
        villain.feed(data)
        assert broker.parent.state == victim.state == 'up'
        assert broker.router.behind(VICTIM) == [VICTIM]
        assert victim.sent == 0 and not broker.calls
        # What goes up is what the villain may say.
        sent = sockets[1].recv(1 << 20) if broker.parent.sent else b''
        at = 0
        while at < len(sent):
            dst, src, auth, _, _, size = HEADER.unpack_from(sent, at)
            at += HEADER.size + size
            assert dst not in (VICTIM, BEHIND) and src not in (VICTIM, ROOT) and auth == src


def read_behind(data: bytes) -> None:
    """What a host says behind an honest hop, which passes it on."""
    with a_world(Watched) as world, a_broker(VICTIM, (EVIL, OTHER)) as (broker, (evil, other), sockets):
        mux = world.mux
        for context in (EVIL, OTHER):
            slot = Slot(('hop 1', f'{context}'), f'host {context}', True)
            slot.id, slot.hello = context, dict(SAYS)
            mux.contexts.slots[slot.path] = mux.contexts.by_id[context] = slot
            mux.contexts.parents[context] = VICTIM
            mux.add_route(context, VICTIM)
        evil.feed(data)
        sockets[1].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            world.victim.feed(sockets[1].recv(1 << 20))
        assert world.victim.state == world.client.state == other.state == broker.parent.state == 'up'
        assert broker.router.link_of(OTHER) == OTHER and other.sent == 0
        assert mux.router.link_of(OTHER) == mux.router.link_of(VICTIM) == VICTIM
        assert mux.contexts.by_id[OTHER].hello and (FIRST_CLIENT, ASKED + 1) in mux.pending


def said_by_account() -> list[bytes]:
    return [*said_by_target(), *(data for data in REFUSED.values() if len(data) < 256),
            b''.join(frame.encode() for frame in frames(ROOT, VILLAIN, ADD_ROUTE, 0, {'id': 9, 'parent': VILLAIN}))]


TARGETS = {
    'target': (lambda data: read_target(speech(data)), (), said_by_target),
    'target-raw': (read_target, (), lambda: REFUSED.values()),
    'behind': (lambda data: read_behind(speech(data)), (), lambda: said_by_target(EVIL)),
    'account': (lambda data: read_account(speech(data)), (), said_by_target),
    'account-raw': (read_account, (), said_by_account),
}
