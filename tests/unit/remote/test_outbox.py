"""What goes first, what waits, and that nothing is lost, doubled or overtaken where it may not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.remote.outbox import FRAME_COST, Outbox, bulk
from mitogen_core.wire.constants import (
    CALL_SERVICE,
    CANCEL,
    DEL_ROUTE,
    FORWARD_MODULE,
    HEARTBEAT,
    PUBLISH,
    SMALL,
    WINDOW,
    WINDOW_SIZE,
)
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.frames import Frame, FrameDecoder

LARGE = SMALL + 1
CHUNK = WINDOW_SIZE // 4


def frame(src=1, dst=2, size=1, handle=CALL_SERVICE, number=0):
    return Frame(dst, src, handle, number, bytes(size))


def taken(outbox):
    """All frames that may go now."""
    decoder, found = FrameDecoder(), []
    while parts := outbox.take():
        found += decoder.feed(b''.join(parts))
    assert not decoder.pending
    return found


def numbers(frames):
    return [f.reply_to for f in frames]


@pytest.mark.parametrize(('handle', 'size', 'expected'), [
    (CALL_SERVICE, SMALL, 0), (CALL_SERVICE, LARGE, LARGE), (FORWARD_MODULE, LARGE, 0), (2000, LARGE, LARGE)])
def test_what_is_bulk(handle, size, expected):
    assert bulk(frame(size=size, handle=handle)) == expected


def test_lanes():
    outbox = Outbox(True)
    outbox.put(frame(1, 2, LARGE, number=1))
    outbox.put(frame(3, 2, number=2))
    outbox.put(Frame(0, 0, HEARTBEAT))
    outbox.put(frame(3, 2, LARGE, FORWARD_MODULE, number=3))
    outbox.put(frame(3, 2, number=4))
    assert [(f.handle, f.reply_to) for f in taken(outbox)] == [
        (HEARTBEAT, 0), (CALL_SERVICE, 2), (FORWARD_MODULE, 3), (CALL_SERVICE, 4), (CALL_SERVICE, 1)]


def test_nothing_overtakes_its_own_flow():
    outbox = Outbox(True)
    for number, size in enumerate([LARGE, 1, LARGE, 1]):
        outbox.put(frame(1, 2, size, number=number))
    outbox.put(frame(1, 2, 1, CANCEL, number=4))
    outbox.put(frame(1, 3, number=5))
    assert numbers(taken(outbox)) == [5, 0, 1, 2, 3, 4]


def test_flows_take_turns():
    outbox = Outbox(True)
    for number in range(3):
        for src in (1, 2, 3):
            outbox.put(frame(src, 9, LARGE, number=10 * src + number))
    assert numbers(taken(outbox)) == [10, 20, 30, 11, 21, 31, 12, 22, 32]


def test_a_window():
    outbox = Outbox(True)
    for number in range(6):
        outbox.put(frame(1, 2, CHUNK, number=number))
    outbox.put(frame(3, 2, CHUNK, number=9))
    assert numbers(taken(outbox)) == [0, 9, 1, 2, 3]
    outbox.acked((1, 2, 0), CHUNK)
    assert numbers(taken(outbox)) == [4]
    outbox.acked((3, 2, 0), CHUNK)
    assert numbers(taken(outbox)) == []
    outbox.acked((1, 2, 0), 4 * CHUNK)
    assert numbers(taken(outbox)) == [5]


def test_a_frame_larger_than_the_window_goes_alone():
    outbox = Outbox(True)
    for number in range(2):
        outbox.put(frame(1, 2, WINDOW_SIZE + 1, number=number))
    assert numbers(taken(outbox)) == [0]
    outbox.acked((1, 2, 0), WINDOW_SIZE + 1)
    assert numbers(taken(outbox)) == [1]


def test_without_windows_nothing_waits():
    outbox = Outbox(False)
    for number in range(20):
        outbox.put(frame(1, 2, CHUNK, number=number))
    assert numbers(taken(outbox)) == list(range(20))


@pytest.mark.parametrize('size', [0, LARGE + 1, 1 << 31])
def test_a_window_that_was_not_used(size):
    outbox = Outbox(True)
    with pytest.raises(ProtocolError):
        outbox.acked((1, 2, 0), max(size, 1))
    outbox.put(frame(1, 2, LARGE))
    taken(outbox)
    with pytest.raises(ProtocolError):
        outbox.acked((1, 2, 0), size)


def test_nothing_is_remembered_of_flows_that_are_over():
    outbox = Outbox(True)
    for src in range(100):
        outbox.put(frame(src, 1, LARGE))
        taken(outbox)
        outbox.acked((src, 1, 0), LARGE)
    assert not outbox._flows


def test_the_end_of_a_context_comes_after_its_words():
    outbox = Outbox(True)
    for number in range(6):
        outbox.put(frame(1, 2, CHUNK, number=number))
    outbox.put(frame(1, 3, CHUNK, number=6))
    outbox.put_after(1, frame(8, 0, 1, DEL_ROUTE, number=7))
    outbox.put(frame(4, 2, number=8))
    assert numbers(taken(outbox)) == [8, 0, 6, 1, 2, 3]
    outbox.acked((1, 2, 0), 4 * CHUNK)
    assert numbers(taken(outbox)) == [4, 5, 7]
    outbox.put_after(1, frame(8, 0, 1, DEL_ROUTE, number=9))
    assert numbers(taken(outbox)) == [9]


def test_all_is_given_back_when_it_is_dropped():
    outbox, back = Outbox(True), []
    for number in range(6):
        outbox.put(frame(1, 2, CHUNK), lambda number=number: back.append(number))
    outbox.put_after(1, frame(8, 0, 1, DEL_ROUTE))
    taken(outbox)
    assert back == [0, 1, 2, 3]
    outbox.clear()
    assert back == list(range(6))
    assert not taken(outbox) and not outbox.queued


@given(st.lists(st.one_of(
    st.tuples(st.just('put'), st.integers(1, 3), st.integers(1, 3),
              st.sampled_from([0, 1, SMALL, LARGE, CHUNK, 3 * CHUNK])),
    st.tuples(st.just('take')), st.tuples(st.just('ack'), st.integers(1, 3), st.integers(1, 3))), max_size=60))
def test_any_course(events):
    """Each flow stays in order, keeps its window, and in the end all is out."""
    outbox, sent, came, under_way = Outbox(True), {}, {}, {}
    count = 0

    def take():
        for f in taken(outbox):
            key = f.src, f.dst
            came.setdefault(key, []).append(f.reply_to)
            under_way[key] = under_way.get(key, 0) + bulk(f)
            assert under_way[key] <= max(WINDOW_SIZE, bulk(f))

    def ack(key):
        if under_way.get(key):
            outbox.acked((*key, 0), under_way.pop(key))

    for event in events:
        if event[0] == 'put':
            count += 1
            sent.setdefault(event[1:3], []).append(count)
            outbox.put(frame(*event[1:], number=count))
        elif event[0] == 'take':
            take()
        else:
            ack(event[1:3])
    while came != sent:
        before = sum(map(len, came.values()))
        for key in sent:
            ack(key)
        take()
        assert sum(map(len, came.values())) > before
    for key in sent:
        ack(key)
    assert not outbox._flows and outbox.queued == 0


def test_a_window_is_no_bulk():
    assert not bulk(Frame(1, 2, WINDOW, 0, b'1234'))


def test_publications_of_a_context_that_is_gone_hold_nothing_up():
    """They may wait for ever."""
    outbox, back = Outbox(True), []
    for _ in range(6):
        outbox.put(frame(1, 0, CHUNK, PUBLISH), lambda: back.append(1))
    outbox.put(frame(1, 2, CHUNK, number=1))
    taken(outbox)
    outbox.put_after(1, frame(8, 0, 1, DEL_ROUTE, number=7))
    assert numbers(taken(outbox)) == [7] and len(back) == 6
    outbox.acked((1, 0, PUBLISH), 4 * CHUNK)
    assert numbers(taken(outbox)) == []


def test_publications_are_a_flow_of_their_own():
    outbox = Outbox(True)
    for number in range(9):
        outbox.put(frame(1, 0, CHUNK, PUBLISH, number))
    outbox.put(frame(1, 0, number=10))
    assert numbers(taken(outbox)) == [10, 0, 1, 2, 3]


def test_small_frames_count_wherever_they_wait():
    outbox = Outbox(True)
    for _ in range(5):
        outbox.put(frame(1, 2, CHUNK))
    for _ in range(100):
        outbox.put(frame(1, 2, 0))
    outbox.put(frame(3, 2, 0))
    assert outbox.queued == 101 * FRAME_COST
    taken(outbox)
    outbox.acked((1, 2, 0), 4 * CHUNK)
    taken(outbox)
    assert outbox.queued == 0
