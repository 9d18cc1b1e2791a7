"""What a Villain does when it is asked for something first (DEEDS), or instead of saying hello (GREETINGS), by name."""

from __future__ import annotations

import itertools
import os
import sys
import time
import zlib
from collections.abc import Callable

from mitogen_core.wire.constants import (
    ADD_ROUTE,
    CALL_SERVICE,
    CANCEL,
    CHUNK,
    DEL_ROUTE,
    FIRST_CLIENT,
    FORWARD_LOG,
    FORWARD_MODULE,
    GET_MODULE,
    HEARTBEAT,
    IS_DEAD,
    LOAD_MODULE,
    PUBLISH,
    ROOT,
    SUBSCRIBE,
    WINDOW,
    WINDOW_SIZE,
)
from mitogen_core.wire.frames import HEADER, Frame
from mitogen_core.wire.hello import hello
from mitogen_core.wire.payloads import MORE, PIECE, SIZE, frames

from .villain import SAYS, Request, Villain

ESCAPES = '\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r'
# Ids and handles that others may have, and a handle that nobody has.
IDS = range(1, 9)
HANDLES = range(1000, 1040)
STRANGE = 117
DEEDS: dict[str, Callable[[Villain, Request], None]] = {}
# Instead of a hello.
GREETINGS: dict[str, Callable[[Villain], None]] = {}


def deed(function: Callable[[Villain, Request], None]) -> Callable[[Villain, Request], None]:
    DEEDS[function.__name__] = function
    return function


def greeting(function: Callable[[Villain], None]) -> Callable[[Villain], None]:
    GREETINGS[function.__name__] = function
    return function


# --- in others' names

@deed
def forge_sources(villain: Villain, request: Request) -> None:
    for src in (ROOT, *IDS, FIRST_CLIENT):
        if src != villain.me:
            villain.send(FORWARD_LOG, {'level': 50, 'name': 'x', 'text': 'forged'}, src=src)
            villain.send(PUBLISH, {'slot': 'news', 'value': 'forged', 'keep': True}, src=src)
            for handle, dst in itertools.product(HANDLES, (ROOT, FIRST_CLIENT, FIRST_CLIENT + 1)):
                villain.send(handle, ['ok', 'forged'], dst=dst, src=src)
    villain.honestly(request)


@deed
def answer_for_others(villain: Villain, request: Request) -> None:
    for handle, dst in itertools.product(HANDLES, (ROOT, FIRST_CLIENT, FIRST_CLIENT + 1)):
        if (handle, dst) != (request[0].reply_to, request[0].src):
            villain.send(handle, ['ok', 'forged'], dst=dst)
            villain.send(handle, 'forged', dst=dst, reply_to=IS_DEAD)
    villain.honestly(request)


@deed
def route_to_others(villain: Villain, request: Request) -> None:
    for other in IDS:
        if other != villain.me:
            villain.send(DEL_ROUTE, {'id': other, 'reason': 'forged'})
    for other in IDS:
        villain.send(ADD_ROUTE, {'id': other, 'parent': villain.me})


@deed
def talk_to_others(villain: Villain, request: Request) -> None:
    for other in IDS:
        villain.send(CALL_SERVICE, ['processes', 'exec', {'argv': ['touch', villain.arguments[0]]}], dst=other)
        villain.send(CANCEL, 1001, dst=other)
    villain.send(CALL_SERVICE, ['status', 'shutdown', {}], reply_to=1000)
    villain.send(CALL_SERVICE, ['contexts', 'reset', {'keys': ['victim']}], reply_to=1001)
    villain.honestly(request)


@deed
def bring_code(villain: Villain, request: Request) -> None:
    for handle, dst in itertools.product((LOAD_MODULE, FORWARD_MODULE), (ROOT, *IDS)):
        for digest in (*villain.late.values(), 'd' * 32, '../../../../etc/passwd'):
            villain.send(handle, {'digest': digest}, b'print("mine")', dst=dst)
    villain.honestly(request)


@deed
def subscribe_and_publish(villain: Villain, request: Request) -> None:
    villain.send(SUBSCRIBE, {'slot': 'news', 'wanted': True})
    for other in IDS:
        villain.send(SUBSCRIBE, {'slot': 'news', 'wanted': False}, dst=other)
    for slot in ('mitogen.log', 'news'):
        villain.send(PUBLISH, {'slot': slot, 'value': 'mine', 'keep': True, 'source': 1, 'name': 'victim'})
    villain.honestly(request)


# --- what is no message

@deed
def giant_length(villain: Villain, request: Request) -> None:
    villain.write(HEADER.pack(ROOT, villain.me, villain.me, FORWARD_LOG, 0, 0xffffffff))


@deed
def giant_head(villain: Villain, request: Request) -> None:
    villain.write(Frame(ROOT, villain.me, FORWARD_LOG, 0, SIZE.pack(0x3fffffff) + b'x').encode())


@deed
def pickled_call(villain: Villain, request: Request) -> None:
    pickled = b'\x80\x02cos\nsystem\nX' + len(villain.arguments[0] + 'touch ').to_bytes(4, 'little') + \
        f'touch {villain.arguments[0]}'.encode() + b'\x85R.'
    villain.write(Frame(ROOT, villain.me, FORWARD_LOG, 0, SIZE.pack(len(pickled)) + pickled).encode())


@deed
def deep_nesting(villain: Villain, request: Request) -> None:
    """As many lists as a head has room for."""
    pickled = b'\x80\x02' + b']' * 260_000 + b'a' * 259_999 + b'.'
    villain.write(Frame(ROOT, villain.me, FORWARD_LOG, 0, SIZE.pack(len(pickled)) + pickled).encode())


@deed
def laughs(villain: Villain, request: Request) -> None:
    """Each of these takes 160 bytes, and is a list of a million."""
    pickled = b'\x80\x02]q\0' + b''.join(b'](' + (b'h' + bytes([level])) * 10 + b'eq' + bytes([level + 1])
                                         for level in range(6)) + b'}X\4\0\0\0texth\6s.'
    villain.write(Frame(ROOT, villain.me, FORWARD_LOG, 0, SIZE.pack(len(pickled)) + pickled).encode() * 5000)
    villain.honestly(request)


@deed
def a_hello_too_many(villain: Villain, request: Request) -> None:
    villain.write(villain.hello(user='another') + villain.hello(id=1))
    villain.honestly(request)


@deed
def unfinished_messages(villain: Villain, request: Request) -> None:
    for number in range(600):
        villain.write(Frame(ROOT, villain.me, FORWARD_LOG, number, SIZE.pack(PIECE) + bytes(8192)).encode())
    villain.honestly(request)


# --- too much

@deed
def endless_logs(villain: Villain, request: Request) -> None:
    while True:
        villain.send(FORWARD_LOG, {'level': 40, 'name': ESCAPES, 'text': ESCAPES + 'x' * 1000})


@deed
def endless_refusals(villain: Villain, request: Request) -> None:
    while True:
        villain.send(1000, ['ok', 1], src=1 if villain.me != 1 else 2)
        villain.send(STRANGE, 'x')


@deed
def endless_keeping(villain: Villain, request: Request) -> None:
    for number in itertools.count():
        villain.send(PUBLISH, {'slot': f'{number}', 'value': 'x' * 100, 'keep': True})


@deed
def endless_progress(villain: Villain, request: Request) -> None:
    while True:
        villain.answer(request, ['progress', {'live': 1}], bytes(CHUNK // 16), MORE)


@deed
def endless_heartbeats(villain: Villain, request: Request) -> None:
    while True:
        villain.write(Frame(0, 0, HEARTBEAT).encode() * 2000)


@deed
def flood(villain: Villain, request: Request) -> None:
    """More than its window."""
    while True:
        villain.answer(request, ['progress', {'live': 1}], bytes(CHUNK), MORE)


@deed
def window(villain: Villain, request: Request) -> None:
    villain.write(Frame(villain.me, ROOT, WINDOW, 0, SIZE.pack(1 << 30)).encode())


@deed
def ask_and_not_read(villain: Villain, request: Request) -> None:
    while True:
        villain.send(GET_MODULE, list(villain.late.values()))


@deed
def not_read(villain: Villain, request: Request) -> None:
    while True:
        time.sleep(1)


# --- answers

@deed
def answer_twice(villain: Villain, request: Request) -> None:
    villain.honestly(request)
    villain.answer(request, ['ok', 'again'])
    villain.answer(request, ['error', {'kind': 'os', 'text': 'again'}])


@deed
def answer_late(villain: Villain, request: Request) -> None:
    """Once nobody waits."""
    while villain.next().handle != CANCEL:
        pass
    for _ in range(10):
        villain.answer(request, ['progress', {'live': 1}], bytes(CHUNK // 2), MORE)
    villain.answer(request, ['ok', 'late'])


@deed
def answer_strangely(villain: Villain, request: Request) -> None:
    villain.answer(request, {'no': 'pair'})


@deed
def error_with_escapes(villain: Villain, request: Request) -> None:
    villain.answer(request, ['error', {'kind': 'os' + ESCAPES, 'text': f'{ESCAPES}\nfatal: [victim]: forged'}])


@deed
def end_with_escapes(villain: Villain, request: Request) -> None:
    os.write(2, f'{"x" * 100000}{ESCAPES}\nfatal: [victim]: forged'.encode())
    sys.exit(3)


@deed
def slowly(villain: Villain, request: Request) -> None:
    """A byte at a time."""
    for frame in frames(request[0].src, villain.me, request[0].reply_to, 0, ['ok', request[3].get('path')]):
        for byte in frame.encode():
            os.write(1, bytes([byte]))
            time.sleep(0.001)


@deed
def shut_its_output(villain: Villain, request: Request) -> None:
    os.close(1)
    while True:
        villain.next()


@deed
def shut_its_input(villain: Villain, request: Request) -> None:
    os.close(0)
    while True:
        villain.write(Frame(0, 0, HEARTBEAT).encode())
        time.sleep(0.01)


# --- files

@deed
def another_path(villain: Villain, request: Request) -> None:
    villain.answer(request, ['ok', {'path': villain.arguments[0], 'mode': 0o4777}], b'not asked for')


@deed
def more_than_asked(villain: Villain, request: Request) -> None:
    villain.answer(request, ['ok', 0o644], bytes(4 * CHUNK))


@deed
def endless_file(villain: Villain, request: Request) -> None:
    waiting, room = [request[0]], WINDOW_SIZE
    while True:
        while waiting and room > 2 * CHUNK:
            asked = waiting.pop(0)
            for frame in frames(asked.src, villain.me, asked.reply_to, 0, ['ok', 0o644], bytes(CHUNK)):
                room -= len(frame.payload)
                villain.write(frame.encode())
        frame = villain.next()
        if frame.handle == CALL_SERVICE:
            waiting.append(frame)
        elif frame.handle == WINDOW:
            room += SIZE.unpack(frame.payload)[0]


# --- its state, its profile

@deed
def giant_state(villain: Villain, request: Request) -> None:
    villain.honestly(request)
    for more in villain.requests():
        villain.answer(more, ['ok', {'runners': ['x' * 500_000]}] if more[1] == 'status' else ['ok', None])


@deed
def state_with_escapes(villain: Villain, request: Request) -> None:
    villain.honestly(request)
    calls = [{'for': ESCAPES, 'state': '\ud800\n' + ESCAPES, 'seconds': 1}]
    for more in villain.requests():
        villain.answer(more, ['ok', {'runners': [], 'files': 0, 'calls': calls, 'links': {}}])


@deed
def bombs(villain: Villain, request: Request) -> None:
    """For profiles: what inflates to a gigabyte, JSON that is deep or many, other paths."""
    villain.honestly(request)
    packer = zlib.compressobj(9)
    bomb = b''.join(packer.compress(bytes(1 << 20)) for _ in range(100)) + packer.flush()
    for more in villain.requests():
        many = zlib.compress(b'[' + b'[],' * 1000000 + b'[]]')
        for number, bulk in enumerate((bomb, many, zlib.compress(b'[' * 1000000), zlib.compress(b'[]'))):
            for role in ('broker', '../../../' + villain.arguments[0]):
                villain.answer(more, ['progress', {'profile': role, 'pid': number}], bulk[:CHUNK], MORE)
        villain.honestly(more)


# --- as a hop: it is asked to start another

@deed
def lie_about_another(villain: Villain, request: Request) -> None:
    villain.send(ADD_ROUTE, {'id': request[3]['id'], 'parent': villain.me})
    villain.answer(request, ['ok', {**hello(request[3]['id'], 1, **SAYS), 'user': ['root'], 'home': 5}])


@deed
def fail_strangely(villain: Villain, request: Request) -> None:
    villain.answer(request, ['error', 'text'])


@deed
def tell_endlessly(villain: Villain, request: Request) -> None:
    while True:
        villain.answer(request, ['progress', {'stream': 2}], bytes(CHUNK // 2), MORE)


@deed
def route_and_forge(villain: Villain, request: Request) -> None:
    """For hosts that are being started elsewhere."""
    for other in IDS:
        for src in (villain.me, other):
            for handle in HANDLES:
                villain.send(handle, ['ok', {**hello(other, 1, **SAYS)}], src=src)
            villain.send(ADD_ROUTE, {'id': other, 'parent': villain.me}, src=src)


# --- hellos

@greeting
def another_id(villain: Villain) -> None:
    villain.write(villain.hello(id=1))


@greeting
def no_user(villain: Villain) -> None:
    villain.write(villain.hello(user=['root']))


@greeting
def a_long_name(villain: Villain) -> None:
    villain.write(villain.hello(host='x' * 400_000))


@greeting
def another_version(villain: Villain) -> None:
    villain.write(villain.hello(version=ESCAPES))


@greeting
def no_hello(villain: Villain) -> None:
    villain.send(FORWARD_LOG, {'text': 'first'})


@greeting
def no_word(villain: Villain) -> None:
    pass
