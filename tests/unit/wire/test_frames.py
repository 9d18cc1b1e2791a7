"""Frames survive the trip, whatever the pieces in which they arrive; what is no frame is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.wire.constants import MAX_PAYLOAD, MAX_U32
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.frames import HEADER_SIZE, Frame, FrameDecoder
from tests.support.feeding import REFUSED, feed, fields, frame_parser

u32 = st.one_of(st.sampled_from([0, 1, MAX_U32]), st.integers(0, MAX_U32))
frames = st.builds(Frame, dst=u32, src=u32, handle=u32, reply_to=u32, payload=st.binary(max_size=60), auth=u32)


@given(st.lists(frames, max_size=4))
def test_round_trip(sent):
    data = b''.join(frame.encode() for frame in sent)
    assert feed(frame_parser, data) == [fields(frame) for frame in sent]


@given(st.lists(frames, min_size=1, max_size=3), st.integers(1, HEADER_SIZE))
def test_an_unfinished_frame_waits(sent, missing):
    decoder = FrameDecoder()
    data = b''.join(frame.encode() for frame in sent)
    missing = min(missing, HEADER_SIZE + len(sent[-1].payload))
    assert len(decoder.feed(data[:-missing])) == len(sent) - 1
    assert decoder.pending == HEADER_SIZE + len(sent[-1].payload) - missing
    assert [fields(frame) for frame in decoder.feed(data[-missing:])] == [fields(sent[-1])]
    assert decoder.pending == 0


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_are_refused(data):
    feed(frame_parser, data, trailing=b'')


@given(st.lists(frames, min_size=1, max_size=3), st.integers(0), st.integers(1, 255))
def test_a_changed_byte_gives_frames_or_is_refused(sent, at, change):
    data = bytearray(b''.join(frame.encode() for frame in sent))
    data[at % len(data)] ^= change
    feed(frame_parser, bytes(data), trailing=b'')


def test_auth_is_the_source_unless_given():
    assert Frame(1, 2, 3).auth == 2
    assert Frame(1, 2, 3, auth=0).auth == 0


@pytest.mark.parametrize('field', ['dst', 'src', 'auth', 'handle', 'reply_to'])
@pytest.mark.parametrize('value', [-1, MAX_U32 + 1, 1 << 64])
def test_a_field_that_does_not_fit_is_refused(field, value):
    frame = Frame(1, 2, 3, 4, b'payload')
    setattr(frame, field, value)
    with pytest.raises(ProtocolError, match='does not fit'):
        frame.encode()


def test_payload_size_is_capped_on_the_way_out():
    assert len(Frame(1, 2, 3, 4, bytes(MAX_PAYLOAD)).encode()) == HEADER_SIZE + MAX_PAYLOAD
    with pytest.raises(ProtocolError, match='does not fit'):
        Frame(1, 2, 3, 4, bytes(MAX_PAYLOAD + 1)).encode()


@pytest.mark.parametrize('size', [MAX_PAYLOAD + 1, 1 << 31, MAX_U32])
def test_payload_size_is_capped_on_the_way_in(size):
    header = struct.pack('>6I', 1, 2, 2, 3, 4, size)
    assert feed(frame_parser, header) == REFUSED
    # By the header alone: nothing is awaited or allocated for the payload.
    assert feed(frame_parser, header[:-1], trailing=b'') == []


def test_a_smaller_cap_can_be_set():
    data = Frame(1, 2, 3, 4, b'12345').encode()
    assert len(FrameDecoder(max_payload=5).feed(data)) == 1
    with pytest.raises(ProtocolError, match='a frame of 5 bytes'):
        FrameDecoder(max_payload=4).feed(data)


def test_payloads_may_be_views():
    assert Frame(1, 2, 3, 4, memoryview(b'view')).encode() == Frame(1, 2, 3, 4, b'view').encode()


def test_repr_shows_no_payload():
    assert repr(Frame(1, 2, 3, 4, b'secret')) == 'Frame(2->1 handle=3 reply_to=4, 6 bytes)'
