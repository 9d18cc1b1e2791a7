"""Life signs of links, with time as an argument."""

from __future__ import annotations

import heapq
import itertools
import select
import socket
from collections.abc import Iterator

import pytest

from mitogen_core.remote.link import Link
from mitogen_core.wire.constants import ALIVE, HEARTBEAT
from mitogen_core.wire.frames import HEADER_SIZE, Frame


class Time:
    """A loop whose clock stands still but for `advance`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list = []
        self._count = itertools.count()
        self._readers: dict = {}

    def clock(self) -> float:
        return self.now

    def later(self, seconds: float, callback) -> None:
        heapq.heappush(self._timers, (self.now + seconds, next(self._count), callback))

    def watch(self, fd: int, on_read=None, on_write=None) -> None:
        self._readers[fd] = on_read

    def deliver(self) -> None:
        """Have everything read that was sent."""
        while True:
            fds = [fd for fd, on_read in self._readers.items() if on_read]
            ready = select.select(fds, [], [], 0)[0]
            if not ready:
                return
            for fd in ready:
                self._readers[fd]()

    def advance(self, seconds: float, deaf: bool = False) -> None:
        """Let time pass, timer by timer; `deaf`: nothing that is said arrives."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, _, callback = heapq.heappop(self._timers)
            callback()
            if not deaf:
                self.deliver()
        self.now = end

    def jump(self, seconds: float) -> None:
        """The process is stopped for so long."""
        self.now += seconds


class End:
    """One end of a link, and what it was told."""

    def __init__(self, time: Time, fd: int, interval: float, timeout: float) -> None:
        self.frames: list[Frame] = []
        self.news: list[tuple[int, bool]] = []
        self.closed = ''
        self.link = Link(time, fd, fd, lambda link, frame: self.frames.append(frame), self._on_close)
        self.link.keep_alive(interval, timeout, self._on_silence)

    def _on_silence(self, link: Link, seconds: float, over: bool) -> None:
        self.news.append((int(seconds), over))
        if over:
            link.close('silent')

    def _on_close(self, link: Link, reason: str) -> None:
        self.closed = reason


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def make(time: Time) -> Iterator:
    ends: list[End] = []

    def make(interval: float = ALIVE[0], timeout: float = ALIVE[1]) -> tuple[End, End]:
        sockets = socket.socketpair()
        ends.extend(End(time, each.detach(), interval, timeout) for each in sockets)
        return ends[0], ends[1]
    yield make
    for end in ends:
        end.link.close('over')


def test_an_idle_link_stays(time, make):
    ends = make()
    time.advance(3600)
    for end in ends:
        assert (end.closed, end.news, end.frames) == ('', [], [])


def test_overhead(time, make):
    """At most 50 bytes a second, what ssh and TCP put around them included (some 150 bytes for each way and word)."""
    one, _ = make()
    time.advance(1000)
    words = one.link.sent / HEADER_SIZE
    assert 150 <= words <= 250
    assert words * (HEADER_SIZE + 150) / 1000 <= 50


def test_who_says_something_says_no_more(time, make):
    one, two = make()
    for _ in range(100):
        one.link.send(Frame(0, 0, 101, 0, b'word'))
        time.advance(2)
    assert len(two.frames) == 100
    assert one.link.sent == 100 * (HEADER_SIZE + 4)
    assert two.link.sent > 0


def test_silence_is_told_and_then_ends_the_link(time, make):
    one, _ = make()
    time.advance(100)
    time.advance(ALIVE[1], deaf=True)
    assert [over for _, over in one.news] == [False, True]
    assert 20 <= one.news[0][0] <= 25
    assert one.closed == 'silent'


@pytest.mark.parametrize('offset', range(12))
def test_the_end_comes_within_the_timeout(time, make, offset: int):
    """Whatever the moment is in which the peer vanishes, and not much sooner."""
    one, _ = make()
    time.advance(100 + offset / 2)
    gone, last = time.now, time.now - ALIVE[0] / 2
    while not one.closed:
        time.advance(0.1, deaf=True)
    assert time.now - gone <= ALIVE[1] + 0.1
    assert time.now - last >= ALIVE[1] - ALIVE[0] / 4


def test_it_comes_back(time, make):
    one, two = make()
    time.advance(25, deaf=True)
    assert one.news and not one.news[0][1]
    two.link.send(Frame(0, 0, 101, 0, b'here'))
    time.deliver()
    time.advance(60)
    assert [seconds > 0 for seconds, _ in one.news] == [True, False]
    assert not one.closed


def test_parts_of_a_frame_are_signs_of_life(time):
    """A large message over a slow link."""
    ours, theirs = socket.socketpair()
    with theirs:
        end = End(time, ours.detach(), *ALIVE)
        data = Frame(0, 0, 101, 0, bytes(1000)).encode()
        for start in range(0, len(data), 50):
            theirs.sendall(data[start:start + 50])
            time.deliver()
            time.advance(9, deaf=True)
        assert [len(frame.payload) for frame in end.frames] == [1000]
        assert end.news == [] and not end.closed
        end.link.close('over')


def test_who_was_stopped_accuses_nobody(time, make):
    one, two = make()
    time.advance(10)
    time.jump(500)
    time.advance(100)
    for end in (one, two):
        assert (end.news, end.closed) == ([], '')


def test_who_does_not_read_on_purpose_accuses_nobody(time, make):
    one, _ = make()
    one.link.pause()
    time.advance(500)
    one.link.resume()
    time.advance(100)
    assert (one.news, one.closed) == ([], '')


@pytest.mark.parametrize('interval', [0, -1])
def test_none_are_sent_without_an_interval(time, make, interval: float):
    one, two = make(interval, 30)
    time.advance(1000)
    assert one.link.sent == two.link.sent == 0
    assert not one.closed


@pytest.mark.parametrize(('interval', 'timeout'), [(10, 0), (10, 5), (60, 30), (1, -1)])
def test_a_timeout_too_short_for_the_interval_is_twice_the_interval(time, make, interval: float, timeout: float):
    one, _ = make(interval, timeout)
    time.advance(20 * interval)
    assert (one.news, one.closed) == ([], '')
    time.advance(2 * interval, deaf=True)
    assert one.closed == 'silent'


def test_a_word_is_a_bare_header(time, make):
    two = make()[1]
    seen = []
    feed = two.link._decoder.feed
    two.link._decoder.feed = lambda data: [seen.append(frame) or frame for frame in feed(data)]
    time.advance(100)
    assert seen and {(frame.handle, bytes(frame.payload)) for frame in seen} == {(HEARTBEAT, b'')}
