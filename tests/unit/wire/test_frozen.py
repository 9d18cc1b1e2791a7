"""The wire is frozen: literal numbers, and messages byte for byte.  A change here is another protocol version."""

from __future__ import annotations

import pathlib

import pytest

from mitogen_core.wire import constants, payloads
from mitogen_core.wire.constants import (
    ADD_ROUTE,
    CALL_SERVICE,
    CANCEL,
    FORWARD_MODULE,
    HELLO,
    IS_DEAD,
    PUBLISH,
    SHUTDOWN,
    SUBSCRIBE,
    WINDOW,
)
from mitogen_core.wire.frames import HEADER, HEADER_SIZE, Frame, FrameDecoder
from mitogen_core.wire.hello import hello
from mitogen_core.wire.payloads import MORE, SIZE, Assembler, frames, pack, unpack
from tests.support.feeding import feed, fields, frame_parser

GOLDEN = pathlib.Path(__file__).parents[2] / 'golden'
CLIENT = 0x80000000

HANDLES = {
    100: 'GET_MODULE', 101: 'CALL_FUNCTION', 102: 'FORWARD_LOG', 103: 'ADD_ROUTE', 104: 'DEL_ROUTE',
    105: 'ALLOCATE_ID', 106: 'SHUTDOWN', 107: 'LOAD_MODULE', 108: 'FORWARD_MODULE', 109: 'DETACHING',
    110: 'CALL_SERVICE', 111: 'STUB_CALL_SERVICE', 120: 'HELLO', 121: 'CANCEL', 122: 'HEARTBEAT',
    123: 'WINDOW', 124: 'SUBSCRIBE', 125: 'PUBLISH', 999: 'IS_DEAD',
}
NUMBERS = {
    'VERSION': 2, 'ROOT': 0, 'FIRST_CLIENT': 0x80000000, 'MAX_U32': 0xffffffff, 'FIRST_DYNAMIC': 1000,
    'MAX_PAYLOAD': 1048576, 'CHUNK': 131072, 'MAX_HEAD': 524288, 'MAX_UNFOLDED': 4194304, 'MAX_MESSAGE': 1073741824,
    'MAX_DEPTH': 32, 'READ_SIZE': 131072, 'HIGH_WATER': 4194304, 'SMALL': 16384,
    'WINDOW_SIZE': 524288, 'ALIVE': (10, 30),
}
MESSAGES = {
    'a-frame': [Frame(1, 2, 3, 4, b'payload', 5)],
    'hello': [Frame(7, 0, HELLO, 0, pack(hello(0, 4321, child=7)))],
    'request': frames(7, CLIENT, CALL_SERVICE, 1001, ['processes', 'exec', {'argv': ['id'], 'tty': False}], b'stdin'),
    'answer': frames(CLIENT, 7, 1001, 0, ['ok', {'rc': 0, 'out': 3}], b'out'),
    'progress': frames(CLIENT, 7, 1001, 0, ['progress', {'stream': 1}], b'x', MORE),
    'error': frames(CLIENT, 7, 1001, 0, ['error', {'kind': 'os', 'text': 'No such file or directory'}]),
    'dead': [Frame(CLIENT, 0, 1001, IS_DEAD, pack('context 7 is gone'))],
    'cancel': [Frame(7, CLIENT, CANCEL, 0, pack(1001))],
    'route': frames(0, 7, ADD_ROUTE, 0, {'id': 9, 'parent': 7}),
    'code': frames(7, 0, FORWARD_MODULE, 0, {'digest': 'd' * 32}, b'blob'),
    'subscribe': [Frame(7, 0, SUBSCRIBE, 0, pack({'slot': 'live', 'wanted': True}))],
    'publish': frames(0, 7, PUBLISH, 0, {'slot': 'live', 'value': 'a line', 'keep': False}, b'bulk'),
    'window': [Frame(7, CLIENT, WINDOW, 0, SIZE.pack(131072))],
    'shutdown': [Frame(7, 0, SHUTDOWN, 0, pack(None))],
    'bytes': frames(7, 0, 1001, 0, [b'\xff\0', b'', 2 ** 40]),
}


def golden(name):
    return bytes.fromhex((GOLDEN / f'{name}.hex').read_text(encoding='ascii'))


def test_handles():
    assert HANDLES == constants.HANDLES
    for number, name in HANDLES.items():
        assert getattr(constants, name) == number


def test_numbers():
    """With the handles, all that the vocabulary has."""
    found = {name: value for name, value in vars(constants).items() if name.isupper() and name != 'HANDLES'}
    assert found == NUMBERS | {name: number for number, name in HANDLES.items()}


def test_layout():
    assert (HEADER.format, HEADER_SIZE) == ('>6I', 24)
    assert (payloads.SIZE.format, payloads.PIECE, payloads.MORE) == ('>I', 0x80000000, 0x40000000)


def test_handles_fit_the_rules():
    """What answers are sent to can't be mistaken for a fixed handle; new handles are numbered from 120."""
    assert all(number < constants.FIRST_DYNAMIC for number in HANDLES)
    assert [n for n in HANDLES if 111 < n < 120] == []


def test_limits_fit_each_other():
    assert constants.MAX_HEAD + constants.CHUNK + 4 <= constants.MAX_PAYLOAD < payloads.MORE
    assert constants.MAX_HEAD < constants.MAX_UNFOLDED


@pytest.mark.parametrize('name', MESSAGES)
def test_what_is_written(name):
    assert b''.join(frame.encode() for frame in MESSAGES[name]) == golden(name)


@pytest.mark.parametrize('name', MESSAGES)
def test_what_is_read(name):
    assert feed(frame_parser, golden(name)) == [fields(frame) for frame in MESSAGES[name]]


@pytest.mark.parametrize('name, head, bulk', [
    ('hello', {'version': 2, 'id': 0, 'pid': 4321, 'max_payload': 1048576, 'child': 7}, b''),
    ('request', ['processes', 'exec', {'argv': ['id'], 'tty': False}], b'stdin'),
    ('answer', ['ok', {'rc': 0, 'out': 3}], b'out'),
    ('progress', ['progress', {'stream': 1}], b'x'),
    ('error', ['error', {'kind': 'os', 'text': 'No such file or directory'}], b''),
    ('dead', 'context 7 is gone', b''),
    ('cancel', 1001, b''),
    ('route', {'id': 9, 'parent': 7}, b''),
    ('code', {'digest': 'd' * 32}, b'blob'),
    ('shutdown', None, b''),
    ('bytes', [b'\xff\0', b'', 2 ** 40], b''),
])
def test_what_it_means(name, head, bulk):
    assembler = Assembler()
    assert [assembler.feed(frame) for frame in FrameDecoder().feed(golden(name))] == [(head, bulk)]


def test_what_python_2_writes():
    assert unpack(golden('python2-payload'))[0] == {
        'a': [1, 2 ** 40, -2 ** 63, 1.5, None, True, ('x', b'\x00\xff', b''), '\u20ac'], b'k': {'n': {}},
        7: {'s': b'abc', 't': b'abc'}}
