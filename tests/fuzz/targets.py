"""Every parser that faces the far side or the user: bytes give a value or an error that is allowed, in bounded time and
memory.

test_fuzz_targets.py in tests/unit runs all of them a little, with hypothesis; `./dev fuzz` a lot, with atheris.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from mitogen_core.controller.bootstrap import boot_command
from mitogen_core.remote.contexts import find_mark, refusal
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.frames import FrameDecoder
from mitogen_core.wire.hello import check_child, check_hello, hello
from mitogen_core.wire.payloads import MORE, PIECE, SIZE, frames, pack, unpack
from tests.support.feeding import frame_parser, message_parser, outcome

from . import answers, links, modules, words

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden'
PAYLOAD = 'python2-payload'
# Held of unfinished messages.
LIMIT = 1 << 16
PROTO = b'\x80\x02'
Parser = Callable[[bytes], list[Any]]


class Target(NamedTuple):
    """`read` takes bytes, and may raise what is allowed; it fails by any other error.  `parser` makes a parser that
    takes bytes in pieces of any size, which make no difference."""

    read: Callable[[bytes], Any]
    allowed: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]]
    parser: Callable[[], Parser] | None = None

    def run(self, data: bytes) -> bool:
        """Was it a value?"""
        try:
            self.read(data)
        except self.allowed:
            return False
        return True


def golden() -> list[bytes]:
    """Streams of frames."""
    return [bytes.fromhex(path.read_text()) for path in sorted(GOLDEN.glob('*.hex')) if path.stem != PAYLOAD]


def golden_payloads() -> list[bytes]:
    decoder = FrameDecoder()
    return [bytes.fromhex((GOLDEN / f'{PAYLOAD}.hex').read_text()),
            *(frame.payload for stream in golden() for frame in decoder.feed(stream))]


def incremental(parser: Callable[[], Parser], seeds: Callable[[], Iterable[bytes]]) -> Target:
    def read(data: bytes) -> Any:
        whole = outcome(parser(), [data])
        at = data[-1] % len(data) if data else 0
        assert repr(outcome(parser(), [data[:at], data[at:]])) == repr(whole), at
        return whole
    return Target(read, (ProtocolError,), seeds, parser)


# the wire

def read_payload(data: bytes) -> Any:
    """What can be read can be sent again, and is the same."""
    head, bulk = unpack(data)
    again = unpack(pack(head, bulk))
    assert repr(again) == repr((head, bulk))
    return head


def text(value: bytes) -> bytes:
    return b'X' + len(value).to_bytes(4, 'little') + value


# Bytes that are no opcodes stand for what is hard to guess.
FRAGMENTS = dict(enumerate([
    b'c_codecs\nencode\n', b'c__builtin__\nbytes\n', b'cbuiltins\nbytes\n', text(b'latin1'), text(b'x'), text(b'id'),
    text('\xe9\ud800'.encode('utf-8', 'surrogatepass')), b'h\0', b'h\1', b'h\2', b'q\0', b'q\1', b'q\2', b'K\1',
    b'M\1\2', b'J\xff\xff\xff\xff', b'\x8a\1\2', b'\x8a\x09' + bytes(9), b'U\1x', b'U\2\xff\0', b'I1\n', b'I01\n',
    b'G' + bytes(8),
    b'G\x7f\xf8' + bytes(6), b'r\0\0\1\0', b'j\0\0\1\0', b'(h\0h\0h\0h\0h\0h\0h\0h\0e', b'}K\1Ns', b'](K\1NX\0\0\0\0e',
    b'T\3\0\0\0abc', b'\x8b\1\0\0\0\7']))


def read_opcodes(data: bytes) -> Any:
    pickled = PROTO + b''.join(FRAGMENTS.get(code, bytes([code])) for code in data) + b'.'
    return read_payload(SIZE.pack(len(pickled)) + pickled)


def opcode_seeds() -> list[bytes]:
    """A list in lists, shared; bytes; a dict."""
    return [bytes([0x5d, 10, 0x5d, 11, 26, 0x87]), bytes([0, 4, 3, 0x86, 0x52]), b'}(' + bytes([5, 13]) + b'u', b'N']


def read_hello(data: bytes) -> Any:
    found = check_child(unpack(data)[0])
    assert len(repr(found)) < 5 * 6 * 4096
    return found


def read_hello_of_parent(data: bytes) -> Any:
    return check_hello(unpack(data)[0])


def hellos() -> list[bytes]:
    return [pack(hello(7, 4321, **links.SAYS)), pack(hello(0, 1, child=7, alive=[10, 30], late={'status': 'd' * 32}))]


def first_stage() -> Parser:
    """What a login says until our code runs, as Child takes it; then what the link is fed."""
    noise, found = b'', False

    def feed(data: bytes) -> list[Any]:
        nonlocal noise, found
        if found:
            return list(data)
        noise += data
        mark = find_mark(noise)
        if not mark:
            return []
        found = True
        why = refusal(mark[1])
        assert why is None or len(why) < 250
        return [mark[:2], why, *mark[2]]
    return feed


def first_words() -> list[bytes]:
    return [b'Welcome\r\nMITOSIS:3.11\n' + golden()[0], b'MITOSIS:2.6\n', b'MITOSIS:x', boot_command().encode()[:200],
            b'MITOSIS-NO-PYTHON\n', b'MITMITOSIS:3.12\n\0\0']


def pieces() -> list[bytes]:
    """Messages in pieces, between each other."""
    piece = SIZE.pack(PIECE)
    stream = [frame.encode() for frame in frames(0, 1, 1000, 0, ['ok', None], b'bulk', MORE)]
    for frame in frames(0, 1, 1000, 0, ['ok', 1]):
        frame.payload = piece + b'abc'
        stream.insert(0, frame.encode())
    return [b''.join(stream), *golden()]


TARGETS: dict[str, Target] = {
    'frames': incremental(frame_parser, golden),
    'messages': incremental(lambda: message_parser(LIMIT), pieces),
    'payload': Target(read_payload, (ProtocolError,), golden_payloads),
    'opcodes': Target(read_opcodes, (ProtocolError,), opcode_seeds),
    'hello': Target(read_hello, (ProtocolError,), hellos),
    'hello-of-parent': Target(read_hello_of_parent, (ProtocolError,), hellos),
    'first-stage': incremental(first_stage, first_words),
    **{name: Target(*what) for module in (links, answers, modules, words) for name, what in module.TARGETS.items()},
}
