"""Links that pass frames on to each other: who holds whose bulk, and what becomes of those who send too much."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from mitogen_core.remote.link import MAX_CONTROL, Link
from mitogen_core.remote.loop import Loop
from mitogen_core.remote.outbox import bulk
from mitogen_core.wire.constants import CALL_SERVICE, CHUNK, HIGH_WATER, PUBLISH, SMALL, WINDOW, WINDOW_SIZE
from mitogen_core.wire.frames import Frame, FrameDecoder
from mitogen_core.wire.payloads import SIZE

SOURCE, STOPPED, GOOD = 1, 2, 3


class Router:
    """Links by name, each with a plain socket as its peer; frames go on to the link of their `dst`."""

    def __init__(self, windows: bool) -> None:
        self.loop = Loop()
        self.links: dict[int, Link] = {}
        self.peers: dict[int, socket.socket] = {}
        self.decoders: dict[int, FrameDecoder] = {}
        self.ends: dict[int, str] = {}
        for name in (SOURCE, STOPPED, GOOD):
            ours, theirs = socket.socketpair()
            theirs.setblocking(False)
            fd = os.dup(ours.fileno())
            ours.close()
            self.links[name] = Link(self.loop, fd, fd, self._on_frame, self._on_close, name, windows)
            self.peers[name], self.decoders[name] = theirs, FrameDecoder()
        self.loop.later(3600, lambda: None)

    def _on_frame(self, link: Link, frame: Frame) -> None:
        if frame.dst in self.links:
            self.links[frame.dst].pass_on(frame, link)

    def _on_close(self, link: Link, reason: str) -> None:
        self.ends[link.name] = reason

    def settle(self) -> None:
        """Do all that can be done without waiting."""
        for _ in range(8):
            self.loop.soon(lambda: None)
            self.loop.step()

    def say(self, frame: Frame, name: int = SOURCE) -> None:
        """Have a peer send a frame, as far as it is read."""
        data = memoryview(frame.encode())
        for _ in range(100):
            try:
                data = data[self.peers[name].send(data):]
            except BlockingIOError:
                self.settle()
            except OSError:
                return
            if not data:
                break
        else:
            raise BlockingIOError
        self.settle()

    def heard(self, name: int) -> list[Frame]:
        """What has arrived at a peer by now; it makes room for more."""
        found = []
        while True:
            self.settle()
            try:
                data = self.peers[name].recv(1 << 20)
            except BlockingIOError:
                return found
            if not data:
                return found
            for frame in self.decoders[name].feed(data):
                found.append(frame)
                if bulk(frame) and self.links[name].windows:
                    self.say(Frame(frame.dst, frame.src, WINDOW, 0, SIZE.pack(bulk(frame))), name)


@pytest.fixture(params=[True, False], ids=['contexts', 'processes of one machine'])
def router(request: pytest.FixtureRequest) -> Iterator[Router]:
    made = Router(request.param)
    yield made
    for link in made.links.values():
        link.close('over')
    for peer in made.peers.values():
        peer.close()
    made.loop.forget()


def chunk(dst: int, number: int = 0) -> Frame:
    return Frame(dst, SOURCE, CALL_SERVICE, number, bytes(CHUNK))


def windows(router: Router) -> dict[int, int]:
    """What the source has been told that it may send again."""
    found: dict[int, int] = {}
    for frame in router.heard(SOURCE):
        assert frame.handle == WINDOW and frame.src == SOURCE
        found[frame.dst] = found.get(frame.dst, 0) + SIZE.unpack(frame.payload)[0]
    return found


def fill(router: Router) -> int:
    """Send to one that does not read until a window is full; the number of chunks that are held."""
    sent = told = 0
    while sent - told < WINDOW_SIZE // CHUNK:
        router.say(chunk(STOPPED, sent))
        sent += 1
        told += windows(router).get(STOPPED, 0) // CHUNK
    return sent


@pytest.mark.parametrize('router', [True], indirect=True)
def test_room_is_given_back_when_bulk_is_out(router: Router):
    sent = fill(router)
    assert windows(router) == {}
    assert [len(frame.payload) for frame in router.heard(STOPPED)] == [CHUNK] * sent
    assert windows(router) == {STOPPED: WINDOW_SIZE}
    assert not router.links[SOURCE]._held


@pytest.mark.parametrize('router', [True], indirect=True)
def test_bulk_that_goes_nowhere_gives_its_room_back(router: Router):
    router.say(chunk(99))
    assert windows(router) == {99: CHUNK}


@pytest.mark.parametrize('router', [True], indirect=True)
def test_one_that_does_not_read_stops_its_own_flows(router: Router):
    fill(router)
    for number in range(20):
        router.say(chunk(GOOD, number))
        assert [frame.reply_to for frame in router.heard(GOOD)] == [number]
    assert windows(router) == {GOOD: 20 * CHUNK}


@pytest.mark.parametrize('router', [True], indirect=True)
def test_more_than_a_window_ends_the_link(router: Router):
    fill(router)
    router.say(chunk(STOPPED))
    assert set(router.ends) == {SOURCE}
    assert 'more than its window' in router.ends[SOURCE]


@pytest.mark.parametrize('router', [True], indirect=True)
@pytest.mark.parametrize('payload', [b'', b'123', SIZE.pack(0), SIZE.pack(1), SIZE.pack(0xffffffff)])
def test_room_that_was_not_taken_ends_the_link(router: Router, payload: bytes):
    router.say(Frame(GOOD, SOURCE, WINDOW, 0, payload))
    assert set(router.ends) == {SOURCE}


@pytest.mark.parametrize('router', [True], indirect=True)
def test_what_was_held_for_a_link_that_ends_is_forgotten(router: Router):
    sent = fill(router)
    router.links[STOPPED].close('gone')
    assert sum(windows(router).values()) <= sent * CHUNK
    router.say(chunk(STOPPED))
    assert not router.links[SOURCE]._held and SOURCE not in router.ends


@pytest.mark.parametrize('router', [False], indirect=True)
def test_without_windows_a_source_is_not_read(router: Router):
    with pytest.raises(BlockingIOError):
        for number in range(100):
            router.say(chunk(STOPPED, number))
    held = sum(router.links[SOURCE]._held.values())
    assert WINDOW_SIZE < held <= WINDOW_SIZE + CHUNK + 1
    # The others go on, and it goes on too, once this one reads again.
    router.say(Frame(GOOD, STOPPED, CALL_SERVICE), STOPPED)
    assert len(router.heard(GOOD)) == 1
    assert sum(len(frame.payload) for frame in router.heard(STOPPED)) > held
    assert not router.links[SOURCE]._held and not router.links[SOURCE]._paused


def test_a_flood_of_small_frames(router: Router):
    """They have no window: whoever feeds a full link is not read."""
    frame = Frame(STOPPED, SOURCE, CALL_SERVICE, 0, bytes(SMALL))
    with pytest.raises(BlockingIOError):
        for _ in range(2 * HIGH_WATER // SMALL):
            router.say(frame)
    assert router.links[STOPPED]._out.queued <= HIGH_WATER + (1 << 17) + SMALL
    assert router.heard(STOPPED)
    assert not router.links[SOURCE]._paused


@pytest.mark.parametrize('router', [True], indirect=True)
def test_any_number_of_flows_is_too_much(router: Router):
    """Each in its window; whoever sends them all is not read any more, and goes on when some are out."""
    router.links[SOURCE]._limit = 2 * WINDOW_SIZE
    with pytest.raises(BlockingIOError):
        for flow in range(100):
            router.say(Frame(STOPPED, 100 + flow, CALL_SERVICE, 0, bytes(CHUNK)))
    assert router.links[SOURCE]._paused and SOURCE not in router.ends
    router.heard(STOPPED)
    assert not router.links[SOURCE]._paused


def test_small_frames_behind_bulk_are_no_way_round(router: Router):
    frame = Frame(STOPPED, SOURCE, CALL_SERVICE, 0, bytes(SMALL))
    for number in range(3):
        router.say(chunk(STOPPED, number))
    with pytest.raises(BlockingIOError):
        for _ in range(2 * HIGH_WATER // SMALL):
            router.say(frame)
    assert router.links[STOPPED]._out.queued <= HIGH_WATER + (1 << 18) + SMALL


@pytest.mark.parametrize('router', [True], indirect=True)
def test_one_that_does_not_read_its_windows(router: Router):
    frames = b''.join(Frame(99, n, PUBLISH).encode() for n in range(MAX_CONTROL + 20000))
    for start in range(0, len(frames), 1 << 16):
        try:
            router.peers[SOURCE].sendall(frames[start:start + (1 << 16)])
        except OSError:
            break
        router.settle()
    assert router.ends == {SOURCE: 'it does not read what it is sent'}
