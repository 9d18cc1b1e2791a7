"""Frames: what travels between neighbours.

    0       4       8       12      16        20      24
    +-------+-------+-------+-------+---------+-------+---------...
    | dst   | src   | auth  | handle| reply_to| length| payload
    +-------+-------+-------+-------+---------+-------+---------...

All six fields are unsigned 32-bit integers in network order.  `dst` and `src` are context ids.  `auth` is the context
whose word the frame carries: each router that takes a frame from a child writes the checked source there.  `handle`
says what the frame is for, `reply_to` where an answer is awaited (0: nowhere; IS_DEAD: this is the news that no answer
will come).  `length` counts the payload's bytes and is at most MAX_PAYLOAD.
"""

import struct

from .constants import MAX_PAYLOAD, MAX_U32
from .errors import ProtocolError

HEADER = struct.Struct('>6I')
HEADER_SIZE = HEADER.size


class Frame(object):
    """One frame.  Fields are ints; `payload` is bytes-like."""

    __slots__ = ('dst', 'src', 'auth', 'handle', 'reply_to', 'payload')

    def __init__(self, dst, src, handle, reply_to=0, payload=b'', auth=None):
        self.dst = dst
        self.src = src
        self.auth = src if auth is None else auth
        self.handle = handle
        self.reply_to = reply_to
        self.payload = payload

    def __repr__(self):
        return 'Frame(%d->%d handle=%d reply_to=%d, %d bytes)' % (
            self.src, self.dst, self.handle, self.reply_to, len(self.payload))

    def header(self):
        """The 24 header bytes.  Raises ProtocolError where a field does not fit."""
        size = len(self.payload)
        fields = (self.dst, self.src, self.auth, self.handle, self.reply_to, size)
        if size > MAX_PAYLOAD or min(fields) < 0 or max(fields) > MAX_U32:
            raise ProtocolError('%r does not fit a frame' % self)
        return HEADER.pack(*fields)

    def encode(self):
        """The whole frame as bytes."""
        return self.header() + bytes(self.payload)


class FrameDecoder(object):
    """Turns a stream of bytes into frames."""

    def __init__(self, max_payload=MAX_PAYLOAD):
        self._buffer = bytearray()
        self._max = max_payload

    @property
    def pending(self):
        """Bytes of an unfinished frame held."""
        return len(self._buffer)

    def feed(self, data):
        """Frames completed by `data`, a list.  Raises ProtocolError; the decoder is of no use after that."""
        buffer = self._buffer
        buffer += data
        frames = []
        start = 0
        while len(buffer) - start >= HEADER_SIZE:
            dst, src, auth, handle, reply_to, size = HEADER.unpack_from(buffer, start)
            if size > self._max:
                raise ProtocolError('a frame of %d bytes (at most %d)' % (size, self._max))
            end = start + HEADER_SIZE + size
            if len(buffer) < end:
                break
            frames.append(Frame(dst, src, handle, reply_to, bytes(buffer[start + HEADER_SIZE:end]), auth))
            start = end
        if start:
            del buffer[:start]
        return frames
