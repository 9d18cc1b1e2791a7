"""Bytes from a peer give values or ProtocolError, nothing else: no other error, no code, crash, flood or wait."""

from __future__ import annotations

import os
import pathlib
import pickle
import resource
import struct
import subprocess
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.wire import payloads
from mitogen_core.wire.constants import MAX_HEAD
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.frames import Frame
from mitogen_core.wire.hello import check_hello
from tests.support.feeding import feed, frame_parser, message_parser

from .test_payloads import heads

PROTO = b'\x80\x02'
ENCODE = b'c_codecs\nencode\n'
BYTES = b'c__builtin__\nbytes\n'


def text(value: str) -> bytes:
    return b'X' + struct.pack('<I', len(value.encode())) + value.encode()


def message(pickled: bytes, bulk: bytes = b'') -> bytes:
    return struct.pack('>I', len(pickled)) + pickled + bulk


def read(payload: bytes):
    """What unpack makes of it; None where it is refused."""
    try:
        return payloads.unpack(payload)
    except ProtocolError as e:
        assert len(str(e)) < 400 and str(e).isprintable()
        return None


class Attack:
    """Pickles to a call."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def laughs(levels: int, width: int) -> bytes:
    """A list of `width` times the same list of `width` times the same list ..."""
    found = b']q\x00'
    for i in range(1, levels):
        found += b'](' + (b'h' + bytes([i - 1])) * width + b'eq' + bytes([i])
    return found


def tuple_laughs(levels: int) -> bytes:
    found = b')q\x00'
    for i in range(1, levels):
        found += (b'h' + bytes([i - 1])) * 3 + b'\x87q' + bytes([i])
    return found


M61 = 2 ** 61 - 1
HOSTILE = {
    'os.system': pickle.dumps(Attack(os.system, 'exit 1'), 2),
    'eval': pickle.dumps(Attack(eval, '1'), 2),
    'sys.exit': pickle.dumps(Attack(sys.exit, 1), 2),
    'subprocess.Popen': pickle.dumps(Attack(subprocess.Popen, ['true']), 2),
    'getattr': pickle.dumps(Attack(getattr, 'x', '__class__'), 2),
    'a class of ours': pickle.dumps(Frame, 2),
    'an instance of ours': pickle.dumps(Frame(1, 2, 3), 2),
    'a class without call': PROTO + b'cos\nsystem\n.',
    'the function that makes bytes': PROTO + ENCODE + b'.',
    'bytes itself': PROTO + BYTES + b'.',
    'a codec that runs': PROTO + ENCODE + text('x') + text('zlib') + b'\x86R.',
    'gigabytes of zeros': PROTO + BYTES + b'J' + struct.pack('<i', 2 ** 31 - 1) + b'\x85R.',
    'bytes of a list': PROTO + BYTES + b']' + b'\x85R.',
    'one text, many bytes': (PROTO + ENCODE + b'q\0' + text('a' * 200000) + text('latin1') + b'\x86q\1('
                             + b'h\0h\1R' * 50000 + b'l.'),
    'changing our function': (PROTO + ENCODE + b'N}' + text('__defaults__') + b'N' + text('rot13') + b'\x86s\x86b.'),
    'new object': PROTO + BYTES + b')\x81.',
    'inst': PROTO + b'(ios\nsystem\n.',
    'obj': PROTO + b'(' + BYTES + b'o.',
    'extension registry': PROTO + b'\x82\x01.',
    'persistent id': PROTO + b'Pid\n.',
    'binary persistent id': PROTO + b'NQ.',
    'global by stack': b'\x80\x04' + text('os') + text('system') + b'\x93.',
    'protocol 4 frame': b'\x80\x04\x95' + struct.pack('<Q', 1 << 62) + b'N.',
    'protocol 5': pickle.dumps(bytearray(b'x'), 5),
    'unknown protocol': b'\x80\xff.',
    'text string of Python 2': PROTO + b"S'x'\n.",
    'empty stack': PROTO + b'.',
    'no stop': PROTO + b'N',
    'bytes after stop': PROTO + b'N.N',
    'mark without end': PROTO + b'(((.',
    'memo index that is missing': PROTO + b'h\x07.',
    'giant memo index': PROTO + b'Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.',
    'giant text': PROTO + b'X\xff\xff\xff\xffx.',
    'giant bytes': PROTO + b'T\xff\xff\xff\x7fx.',
    'negative bytes': PROTO + b'T\xff\xff\xff\xffx.',
    'giant integer': PROTO + b'\x8b' + struct.pack('<i', 400000) + b'\x7f' * 400000 + b'.',
    'negative integer size': PROTO + b'\x8b\xff\xff\xff\xff.',
    'integer of many digits': PROTO + b'I' + b'9' * 100000 + b'\n.',
    'deep lists': PROTO + b']' * 100000 + b'a' * 99999 + b'.',
    'deep tuples': PROTO + b')' + b'\x85' * 150000 + b'.',
    'deep tuple as key': PROTO + b'})' + b'\x85' * 150000 + b'Ns.',
    'deep tuple as key of many': PROTO + b'}()' + b'\x85' * 150000 + b'Nu.',
    'list in itself': PROTO + b']q\0h\0a.',
    'list in itself, often': PROTO + b']q\0(' + b'h\0' * 10000 + b'e.',
    'a million laughs': PROTO + laughs(31, 10) + b'.',
    'laughs to be hashed': PROTO + b'}' + tuple_laughs(40) + b'Ns.',
    'colliding keys': PROTO + b'}(' + b''.join(b'\x8a\x0a' + (i * M61).to_bytes(10, 'little') + b'N'
                                             for i in range(1, 30000)) + b'u.',
    'a list as key': PROTO + b'}]Ns.',
    'None as key': PROTO + b'}NNs.',
    'a key without value': PROTO + b'}(Nu.',
    'item of nothing': PROTO + b's.',
    'items of text': PROTO + text('x') + b'(KKe.',
    'call of text': PROTO + text('x') + b')R.',
    'surrogates as bytes': PROTO + ENCODE + b'X\3\0\0\0\xed\xa0\x80' + text('latin1') + b'\x86R.',
}
# Bytes that look odd and are still values.
HARMLESS = {'giant memo index, used': PROTO + b'K\7r\xff\xff\xff\xffj\xff\xff\xff\xff\x86.'}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_pickles_are_refused(name):
    assert read(message(HOSTILE[name])) is None
    # Nothing of it lasts: the next message is read as ever.
    assert payloads.unpack(payloads.pack([b'\xff', b'']))[0] == [b'\xff', b'']


@pytest.mark.parametrize('name', HARMLESS)
def test_odd_pickles_are_read(name):
    assert payloads.unpack(message(HARMLESS[name]))[0] == (7, 7)


def test_giant_memo_index_of_the_c_unpickler_is_no_way_out():
    """What LONG_BINPUT costs is the point of using the unpickler that is written in Python."""
    assert issubclass(payloads._Unpickler, pickle._Unpickler)


@pytest.mark.parametrize('module, name', [('os', 'system\x1b[31m'), ('a' * 500, 'b' * 500), ('\u202e', 'x')])
def test_refusals_are_safe_to_print(module, name):
    assert read(message(PROTO + b'c' + f'{module}\n{name}\n'.encode() + b'.')) is None


@pytest.mark.parametrize('unit', [b'(', b'}', b']', b'(]', b'N', b'\x88', b')', b'M\xff\xff', b'\x8a\3\xff\xff\0'])
def test_memory_is_in_proportion_to_what_was_sent(unit):
    size = 1 << 14
    body = PROTO + unit * (size // len(unit)) + b'.'
    tracemalloc.start()
    try:
        read(message(body))
        assert tracemalloc.get_traced_memory()[1] < 100 * size + (1 << 17)
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300))
def test_any_payload(data):
    read(data)


@given(st.binary(max_size=300))
def test_any_pickle(data):
    read(message(data))
    read(message(PROTO + data + b'.'))


opcodes = st.sampled_from([bytes([code]) for code in range(256)] + [
    b'h\0', b'q\0', b'K\1', ENCODE, BYTES, text('latin1'), text('x'), b'\x8a\1\2', b'U\1x', b'I1\n'])


@given(st.lists(opcodes, max_size=60))
def test_any_opcodes(codes):
    read(message(PROTO + b''.join(codes) + b'.'))


@given(heads, st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_messages(head, changes):
    payload = bytearray(payloads.pack(head))
    for at, byte in changes:
        payload[at % len(payload)] = byte
    found = read(bytes(payload))
    if found is not None:
        payloads.check(found[0])


@given(heads, st.integers(0))
def test_truncated_messages(head, at):
    payload = payloads.pack(head)
    assert read(payload[:at % len(payload)]) is None


@given(heads, st.binary(max_size=40), st.integers(0), st.integers(0, 255))
def test_mutated_streams(head, bulk, at, byte):
    """The whole way: frames, pieces, messages."""
    sent = [*payloads.frames(1, 2, 1000, 0, head, bulk), *payloads.frames(1, 2, 1001, 0, head)]
    data = bytearray(b''.join(frame.encode() for frame in sent))
    data[at % len(data)] = byte
    feed(message_parser, bytes(data), trailing=b'')


odd_payloads = st.sampled_from([b'', b'\x80', b'\x80\0\0\0', b'\x80\0\0\0abc', b'\xc0\0\0\0', payloads.pack(None),
                                payloads.pack(None, b'x', payloads.MORE)])


@given(st.lists(st.tuples(st.integers(0, 2), odd_payloads), max_size=8))
def test_any_payloads_in_any_order(sent):
    data = b''.join(Frame(1, src, 1000, 0, payload).encode() for src, payload in sent)
    feed(message_parser, data)
    feed(frame_parser, data)


@given(st.binary(max_size=200))
def test_any_first_message(data):
    for payload in (data, message(PROTO + data + b'.')):
        try:
            check_hello(payloads.unpack(payload)[0])
        except ProtocolError:
            continue
        raise AssertionError('a stranger was let in')


PROGRAM = '''
import resource, sys
sys.path.insert(0, sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from tests.unit.wire.test_hostile import HOSTILE, message
from mitogen_core.wire import payloads
for name, pickled in HOSTILE.items():
    try:
        payloads.unpack(message(pickled))
        print('read:', name)
    except payloads.ProtocolError as e:
        if 'MemoryError' in str(e):
            print('memory:', name)
print('done')
'''


@pytest.mark.slow
def test_hostile_pickles_in_a_small_process():
    """Once more where a crash, an endless loop or half a gigabyte can be seen to end the process."""
    root = str(pathlib.Path(__file__).parents[3])
    run = subprocess.run([sys.executable, '-c', PROGRAM, root], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (0, 'done\n'), run.stderr[-500:]
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10 < 1 << 30
    assert max(map(len, HOSTILE.values())) < MAX_HEAD
