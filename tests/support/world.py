"""A multiplexer in memory, with a link to a hostile target and one to another."""

from __future__ import annotations

import contextlib
import os
import socket

from mitogen_core.controller.calls import OwnCall
from mitogen_core.controller.log import Log
from mitogen_core.controller.multiplexer import Multiplexer
from mitogen_core.remote.link import Link
from mitogen_core.wire.constants import (
    ADD_ROUTE,
    CALL_SERVICE,
    CANCEL,
    DEL_ROUTE,
    FIRST_CLIENT,
    FORWARD_LOG,
    GET_MODULE,
    HELLO,
    IS_DEAD,
    PUBLISH,
    ROOT,
    SUBSCRIBE,
    WINDOW,
)
from mitogen_core.wire.frames import Frame
from mitogen_core.wire.payloads import Assembler, frames, pack

VILLAIN, VICTIM, UNUSED, OWN = 1, 2, 77, 1000


class Child:
    """Stands for a login."""

    def __init__(self, link):
        self.link = link

    def on_end(self, reason):
        pass

    def when_ended(self, tell):
        tell('gone')


class World:
    """A multiplexer with a link to a hostile target and one to another; no event loop runs."""

    def __init__(self, path):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        self.mux = Multiplexer(listener, Log(''))
        self.sockets = [listener]
        self.gone: list[int] = []
        self.mux.contexts.forget = self.gone.append
        self.villain, self.victim = self.link(VILLAIN), self.link(VICTIM)
        self.answers: list[object] = []
        self.mux.own[OWN] = (VILLAIN, OwnCall(lambda *answer: self.answers.append(answer), None))
        self.victims_answers: list[object] = []
        self.mux.own[OWN + 1] = (VICTIM, OwnCall(lambda *answer: self.victims_answers.append(answer), None))

    def link(self, context):
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        fd = os.dup(ours.fileno())
        link = Link(self.mux.loop, fd, fd, self.mux.on_frame, self.mux.on_close, context)
        link.event('hello')
        self.mux.children[context] = Child(link)
        self.mux.assemblers[context] = Assembler()
        self.mux.router.add(context, context)
        return link

    def unharmed(self):
        """Is everything but the hostile target as it was?"""
        assert self.victim.state == 'up'
        assert self.mux.router.behind(VICTIM) == [VICTIM]
        assert self.mux.router.link_of(UNUSED) is None, 'an id that nobody gave it'
        assert VICTIM not in self.gone and self.victims_answers == []
        assert self.villain.state in ('up', 'closed')

    def end(self):
        self.mux.reaper.forget()
        self.mux.loop.forget()
        for link in (self.villain, self.victim):
            if link.state != 'closed':
                os.close(link.rfd)
        for each in self.sockets:
            each.close()


@contextlib.contextmanager
def a_world(kind=World):
    world = kind('')  # an address of the system's choice, without a file
    try:
        yield world
    finally:
        world.end()


def sent(handle, head, bulk=b'', dst=ROOT, src=VILLAIN, reply_to=0):
    return b''.join(frame.encode() for frame in frames(dst, src, handle, reply_to, head, bulk))


REFUSED = {
    'not a frame': b'\xff' * 100,
    'no message': Frame(ROOT, VILLAIN, ADD_ROUTE, 0, b'\0').encode(),
    'a class': Frame(ROOT, VILLAIN, FORWARD_LOG, 0, b'\0\0\0\x10\x80\x02cos\nsystem\n.....').encode(),
    'another hello': sent(HELLO, {'version': 1}),
    'a request': sent(CALL_SERVICE, ['status', 'shutdown', {}], reply_to=1000),
    'a request to another target': sent(CALL_SERVICE, ['processes', 'exec', {}], dst=VICTIM, reply_to=1000),
    'a request to a client': sent(CALL_SERVICE, ['x', 'y', {}], dst=FIRST_CLIENT),
    'in the name of another target': sent(FORWARD_LOG, {'text': 'x'}, src=VICTIM),
    'in the name of the root': sent(CALL_SERVICE, ['status', 'shutdown', {}], src=ROOT, dst=VICTIM),
    'an answer for another target': sent(OWN + 1, ['ok', 'forged']),
    'death of another target': Frame(ROOT, VILLAIN, OWN + 1, IS_DEAD, pack('forged')).encode(),
    'a route that another has': sent(ADD_ROUTE, {'id': VICTIM, 'parent': VILLAIN}),
    'a route to a client': sent(ADD_ROUTE, {'id': FIRST_CLIENT, 'parent': VILLAIN}),
    'logs of any kind': sent(FORWARD_LOG, {'level': [], 'text': {}, 'name': b'\xff'}) + sent(FORWARD_LOG, 7),
    'code that nobody has': sent(GET_MODULE, ['x' * 32, 7, None, b'']),
    'code, no list': sent(GET_MODULE, 'x'),
    'a route, no dict': sent(ADD_ROUTE, None),
    'a route without id': sent(ADD_ROUTE, {}),
    'a route to nowhere': sent(ADD_ROUTE, {'id': 'x'}),
    'an end, no dict': sent(DEL_ROUTE, [1]),
    'an end of a list': sent(DEL_ROUTE, {'id': []}),
    'an end of another target': sent(DEL_ROUTE, {'id': VICTIM, 'reason': 'forged'}),
    'code by odd names': sent(GET_MODULE, [{}, []]),
    'an answer that is no pair': sent(OWN, 5),
    'a publication that is none': sent(PUBLISH, 7) + sent(PUBLISH, {}) + sent(PUBLISH, {'slot': [], 'keep': True}),
    'a publication of another target': sent(PUBLISH, {'slot': 'x', 'value': 1, 'keep': True}, src=VICTIM),
    'room that it was not sent': Frame(VILLAIN, ROOT, WINDOW, 0, b'\0\0\1\0').encode(),
    'what only clients say': sent(CANCEL, 1000),
    'what only a parent says': sent(SUBSCRIBE, {'slot': 'x', 'wanted': True}),
    'an id that nobody gave it': sent(ADD_ROUTE, {'id': UNUSED, 'parent': VILLAIN}),
}
