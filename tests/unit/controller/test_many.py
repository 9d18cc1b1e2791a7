"""What a message costs does not depend on how many hosts and workers there are."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.controller import login
from mitogen_core.controller.calls import Pending, Requests
from mitogen_core.wire.constants import CALL_SERVICE, HELLO, ROOT
from mitogen_core.wire.frames import Frame, FrameDecoder
from mitogen_core.wire.hello import hello
from mitogen_core.wire.payloads import pack
from tests.support.world import World, sent


class Crowd(World):
    """A multiplexer with contexts and workers; each worker has asked the context of its number for something."""

    def __init__(self, path, number):
        super().__init__(path)
        self.path = path
        self.links = {1: self.villain, 2: self.victim, **{n: self.link(n) for n in range(3, number + 1)}}
        self.workers = [self.worker(n) for n in range(1, number + 1)]

    def worker(self, context):
        ours = socket.socket(socket.AF_UNIX)
        ours.connect(self.path)
        ours.sendall(Frame(ROOT, 0, HELLO, 0, pack(hello(0, os.getpid()))).encode())
        self.steps()
        self.sockets.append(ours)
        self.ask(ours, context, 5)
        return ours

    def ask(self, worker, context, handle):
        worker.sendall(sent(CALL_SERVICE, ['x', 'y', {}], dst=context, src=0, reply_to=handle))
        self.steps()

    def steps(self):
        for _ in range(4):
            self.mux.loop.soon(lambda: None)  # do not wait
            self.mux.loop.step()

    def end(self):
        for link in list(self.links.values())[2:]:
            os.close(link.rfd)
        for link in list(self.mux.clients.values()):
            os.close(link.rfd)
        super().end()


def steps_of(action):
    """How many instructions of Python are run."""
    count = 0

    def look(frame, event, argument):
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == 'opcode'
        return look
    before = sys.gettrace()
    sys.settrace(look)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def cost(number):
    """Of a request and its answer, and of a worker that goes."""
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(os.path.join(folder, 's'), number)
        try:
            assert len(crowd.mux.pending) == number == len(crowd.mux.clients)
            worker = crowd.workers[-1]
            client = max(crowd.mux.clients)
            reply = Frame(client, number, 6, 0, pack(['ok', 1])).encode()
            asked = steps_of(lambda: crowd.ask(worker, number, 6))
            answered = steps_of(lambda: (crowd.links[number].feed(reply), crowd.steps()))
            worker.settimeout(5)
            got = [frame.handle for frame in FrameDecoder().feed(worker.recv(65536))]
            assert got == [HELLO, 6]
            gone = steps_of(lambda: (worker.close(), crowd.steps()))
            assert len(crowd.mux.pending) == number - 1 == len(crowd.mux.clients)
            return asked, answered, gone
        finally:
            crowd.end()


@pytest.mark.parametrize('number', [20, 120])
def test_cost(number):
    for few, many in zip(cost(4), cost(number), strict=True):
        assert few > 500 and abs(many - few) < 0.05 * few


def test_no_more_descriptors():
    """Who comes then waits, and the loop does not spin."""
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(os.path.join(folder, 's'), 2)
        try:
            listener, tried = crowd.mux.listener, []

            class Full:
                fileno = listener.fileno

                def accept(self):
                    tried.append(1)
                    raise OSError(errno.EMFILE, 'Too many open files')
            crowd.mux.listener = Full()
            late = socket.socket(socket.AF_UNIX)
            late.connect(crowd.path)
            crowd.sockets.append(late)
            crowd.steps()
            crowd.steps()
            assert len(tried) == 1
            crowd.mux.listener = listener
            now = crowd.mux.loop.clock()
            crowd.mux.loop.clock = lambda: now + 1
            crowd.steps()
            assert len(crowd.mux.clients) == 3
        finally:
            crowd.end()


@pytest.mark.parametrize(('limit', 'room'), [(32, False), (46, False), (47, True), (1024, True)])
def test_logins_leave_descriptors_to_workers(monkeypatch, limit, room):
    with tempfile.TemporaryDirectory() as folder:
        crowd = Crowd(os.path.join(folder, 's'), 4)
        try:
            monkeypatch.setattr(login.resource, 'getrlimit', lambda which: (limit, limit))
            assert login.has_room(len(crowd.mux.children)) is room
            failed = []
            call = types.SimpleNamespace(waiting=True, fail=lambda kind, text, **more: failed.append(text))
            spec = {'name': 'ssh to x', 'argv': ['/bin/sh', '-c', 'exec cat'], 'timeout': 60, 'password_fd': None,
                    'password': None, 'env': {}, 'cwd': '/'}
            if not room:
                crowd.mux.contexts.do_get(call, {'chain': [{'key': 'x', 'spec': spec}]}, b'')
                assert failed == ['ssh to x: no descriptors are left for another login; `ulimit -n` gives more']
                assert not crowd.mux.contexts.slots
        finally:
            crowd.end()


@given(st.lists(st.tuples(st.sampled_from(['set', 'pop', 'del']), st.integers(0, 3), st.integers(0, 3))))
def test_requests_are_a_dict(steps):
    requests, model = Requests(), {}
    for what, client, handle in steps:
        key = (client, handle)
        if what == 'set':
            requests[key] = model[key] = Pending(1, float(len(model)))
        elif what == 'pop':
            assert requests.pop(key) == model.pop(key, None)
        elif key in model:
            del requests[key], model[key]
        assert requests == model
        for each in range(4):
            assert requests.of(each) == sorted(item for item in model.items() if item[0][0] == each)
