"""Feeds a parser in every way in which bytes may arrive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.frames import FrameDecoder
from mitogen_core.wire.payloads import Assembler

REFUSED = 'refused'


def fields(frame: Any) -> tuple[Any, ...]:
    """What a frame says, to compare frames by."""
    return frame.dst, frame.src, frame.auth, frame.handle, frame.reply_to, bytes(frame.payload)


def frame_parser() -> Callable[[bytes], list[Any]]:
    """A new parser of frames."""
    decoder = FrameDecoder()
    return lambda data: [fields(frame) for frame in decoder.feed(data)]


def message_parser(limit: int = 1 << 22) -> Callable[[bytes], list[Any]]:
    """A new parser of messages: (src, handle, head, bulk)."""
    decoder, assembler = FrameDecoder(), Assembler(limit)

    def feed(data: bytes) -> list[Any]:
        found = []
        for frame in decoder.feed(data):
            message = assembler.feed(frame)
            if message is not None:
                found.append((frame.src, frame.handle, *message))
        return found
    return feed


def outcome(feed: Callable[[bytes], list[Any]], parts: list[bytes]) -> Any:
    """All results, or REFUSED.  Any error but ProtocolError goes to the caller."""
    found = []
    try:
        for part in parts:
            found += feed(part)
    except ProtocolError:
        return REFUSED
    return found


def feed(new_parser: Callable[[], Callable[[bytes], list[Any]]], data: bytes, trailing: bytes = b'\0\0\0') -> Any:
    """What a parser makes of `data`: the same whole, byte by byte, and with the beginning of something else behind it.

    Results are values that can be compared; REFUSED stands for ProtocolError.
    """
    whole = outcome(new_parser(), [data])
    ways = {
        'byte by byte': [data[i:i + 1] for i in range(len(data))],
        'with trailing bytes': [data + trailing],
        'cut in the middle': [data[:len(data) // 2], data[len(data) // 2:] + trailing],
    }
    for way, parts in ways.items():
        # By repr: a NaN is what it was, but equal to nothing.
        assert repr(outcome(new_parser(), parts)) == repr(whole), way
    return whole
