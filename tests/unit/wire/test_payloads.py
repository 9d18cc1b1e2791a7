"""Messages: heads of plain values, bulk in pieces."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.wire.constants import CHUNK, MAX_DEPTH, MAX_HEAD, MAX_PAYLOAD, MAX_U32, MAX_UNFOLDED
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.frames import Frame
from mitogen_core.wire.payloads import MORE, PIECE, PIECE_COST, Assembler, frames, is_last, is_piece, pack, unpack
from tests.support.feeding import REFUSED, feed, message_parser, outcome

# One character of each length in UTF-8, a lone surrogate, controls.
text = st.text('a\0\x1b\n\xe9\u20ac\ud800\U0001f600', max_size=9)
keys = st.one_of(text, st.binary(max_size=5), st.integers(-MAX_U32, MAX_U32))
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 64) + 1, (1 << 64) - 1),
                    st.floats(allow_nan=False), text, st.binary(max_size=9))
heads = st.recursive(scalars, lambda inner: st.one_of(
    st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(keys, inner, max_size=4)))


def nested(depth):
    value = None
    for _ in range(depth):
        value = [value]
    return value


@given(heads, st.binary(max_size=20), st.sampled_from([0, MORE]))
def test_round_trip(head, bulk, flags):
    payload = pack(head, bulk, flags)
    assert unpack(payload) == (head, bulk)
    assert repr(unpack(payload)[0]) == repr(head)  # types too: 1, True and 1.0 are equal
    assert is_last(payload) == (flags == 0)
    assert not is_piece(payload)


@given(heads)
def test_the_other_pickler_is_understood_too(head):
    pickled = pickle._dumps(head, 2)
    assert repr(unpack(struct.pack('>I', len(pickled)) + pickled)[0]) == repr(head)


def test_what_a_head_shares_arrives():
    hello = {'home': '/root', 'raw': b'\xff'}
    assert unpack(pack([hello, hello, b'\xff', b'\xff']))[0] == [hello, hello, b'\xff', b'\xff']


@pytest.mark.parametrize('head', [
    object(), {1, 2}, frozenset(), 1j, range(3), bytearray(b'x'), pack, ValueError('x'), OrderedDict(),
    type('S', (str,), {})(),
    1 << 64, -(1 << 64), {(1, 2): 3}, {None: 1}, {1.5: 1}, {True: 1}, {1 << 32: 1}, nested(MAX_DEPTH + 1),
    'x' * (MAX_HEAD + 1), [['y' * 1000] * 100] * 50,
], ids=lambda head: type(head).__name__)
def test_what_is_no_head_is_not_packed(head):
    with pytest.raises(ProtocolError):
        pack([head] if not isinstance(head, list) else head)


def test_limits_of_heads_can_be_reached():
    assert unpack(pack(nested(MAX_DEPTH)))[0] == nested(MAX_DEPTH)
    text = 'x' * (MAX_HEAD - 20)
    payload = pack(text, bytes(CHUNK))
    assert unpack(payload) == (text, bytes(CHUNK))
    assert len(payload) < MAX_PAYLOAD


def test_what_is_shared_counts_wherever_it_stands():
    text = 'x' * 1024
    many = MAX_UNFOLDED // 1025 - 1
    assert unpack(pack([text] * many))[0] == [text] * many
    with pytest.raises(ProtocolError, match='too large'):
        pack([text] * (many + 3))


@pytest.mark.parametrize('payload', [
    b'', b'\0', b'\0\0\0', b'\0\0\0\0', b'\0\0\0\x01', struct.pack('>I', MAX_HEAD + 1) + bytes(MAX_HEAD + 1),
    struct.pack('>I', PIECE), struct.pack('>I', PIECE | MORE), struct.pack('>I', PIECE | 4) + b'\x80\x02N.',
    struct.pack('>I', 5) + b'\x80\x02N.', struct.pack('>I', 5) + b'\x80\x02N.N', struct.pack('>I', 3) + b'\x80\x02N.',
], ids=lambda payload: payload[:12].hex() or 'empty')
def test_unfit_payloads_are_refused(payload):
    with pytest.raises(ProtocolError):
        unpack(payload)


@pytest.mark.parametrize('size, count', [
    (0, 1), (1, 1), (CHUNK, 1), (CHUNK + 1, 2), (3 * CHUNK, 3), (3 * CHUNK + 5, 4)])
def test_bulk_travels_in_pieces(size, count):
    bulk = bytes(range(256)) * (size // 256) + b'x' * (size % 256)
    made = frames(1, 2, 3, 4, {'size': size}, bulk, MORE)
    assert len(made) == count
    assert [is_piece(frame.payload) for frame in made] == [True] * (count - 1) + [False]
    assert not any(is_last(frame.payload) for frame in made)
    assembler = Assembler()
    results = [assembler.feed(frame) for frame in made]
    assert results == [None] * (count - 1) + [({'size': size}, bulk)]


def small_frames(src, handle, reply_to, head, parts):
    """A message whose bulk is cut as `parts` say."""
    pieces = [Frame(1, src, handle, reply_to, struct.pack('>I', PIECE) + part) for part in parts[:-1]]
    return [*pieces, Frame(1, src, handle, reply_to, pack(head, parts[-1]))]


messages = st.lists(st.lists(st.binary(max_size=6), min_size=1, max_size=4), min_size=1, max_size=5)


@given(messages, st.randoms(use_true_random=False))
def test_interleaved_messages_do_not_mix(bulks, random):
    """Messages of different sources, handles or reply handles may come between each other's pieces."""
    queues = [small_frames(i % 2, 100 + i % 3, i, i, parts) for i, parts in enumerate(bulks)]
    stream = []
    while any(queues):
        stream.append(random.choice([queue for queue in queues if queue]).pop(0))
    found = feed(message_parser, b''.join(frame.encode() for frame in stream))
    assert sorted((head, bulk) for _, _, head, bulk in found) == [(i, b''.join(p)) for i, p in enumerate(bulks)]


@given(messages)
def test_all_bytes_are_given_back_to_the_limit(bulks):
    """What a message held is free again when it is complete, or long connections would end by themselves."""
    limit = max(sum(len(part) + 4 + PIECE_COST for part in parts[:-1]) for parts in bulks)
    parser = message_parser(limit)
    for _ in range(3):
        for i, parts in enumerate(bulks):
            data = b''.join(frame.encode() for frame in small_frames(0, 1000, 0, i, parts))
            assert outcome(parser, [data]) == [(0, 1000, i, b''.join(parts))]


@pytest.mark.parametrize('same', [True, False], ids=['one message', 'many messages'])
@pytest.mark.parametrize('size', [0, 1, 1000])
def test_unfinished_messages_are_bounded(same, size):
    limit = 10 * (size + 4 + PIECE_COST)
    pieces = [Frame(1, 2, 3, 0 if same else i, struct.pack('>I', PIECE) + bytes(size)).encode() for i in range(11)]
    assert outcome(message_parser(limit), pieces[:10]) == []
    assert outcome(message_parser(limit), pieces) == REFUSED
