"""Messages inside frames: a pickled head, and bulk that is never pickled.

    payload = >I flags and size of head | head (pickle protocol 2) | bulk

Two bits of the first word are flags.  PIECE: no head, only bulk that belongs in front of the bulk of the next message
of the same source and handle.  MORE: an answer that is not yet the last one to its handle.

Heads hold None, bool, int, float, text, bytes, list, tuple and dict, nothing else: the reader finds no class for a
pickle to build.  The unpickler is the one written in Python, whose memo is a dict and so costs what was sent.
"""

import io
import pickle
import struct

from .constants import CHUNK, MAX_DEPTH, MAX_HEAD, MAX_MESSAGE
from .errors import ProtocolError
from .frames import Frame
from .py23 import PY2, integer_types, text_type

SIZE = struct.Struct('>I')
PIECE = 0x80000000
MORE = 0x40000000
_PIECE_HEAD = SIZE.pack(PIECE)
SCALARS = (type(None), bool, float, bytes, text_type) + integer_types


def _latin1(text, encoding='latin1'):
    """How pickle protocol 2 spells bytes of Python 3."""
    if encoding != 'latin1' or not isinstance(text, text_type):
        raise ProtocolError('unexpected encoding in a message')
    return text.encode('latin1')


class _Unpickler(pickle.Unpickler if PY2 else pickle._Unpickler):
    def find_class(self, module, name):
        if (module, name) == ('_codecs', 'encode'):
            return _latin1
        if (module, name) in (('__builtin__', 'bytes'), ('builtins', 'bytes')):
            return bytes
        raise ProtocolError('a message may not hold %.99s.%.99s' % (module, name))


def check(value, depth=MAX_DEPTH):
    """Raises ProtocolError where `value` is no message."""
    if type(value) in SCALARS:
        return
    if depth and type(value) in (list, tuple):
        for item in value:
            check(item, depth - 1)
    elif depth and type(value) is dict:
        for key, item in value.items():
            if type(key) not in SCALARS:
                raise ProtocolError('a message has a key of type %s' % type(key).__name__)
            check(item, depth - 1)
    else:
        raise ProtocolError('a message may not hold %s' % (type(value).__name__ if depth else 'deeper nesting'))


def pack(head, bulk=b'', flags=0):
    """One payload from `head` (see above), `bulk` (bytes-like, at most CHUNK) and `flags` (0 or MORE)."""
    check(head)
    pickled = pickle.dumps(head, 2)
    if len(pickled) > MAX_HEAD:
        raise ProtocolError('a message head of %d bytes (at most %d)' % (len(pickled), MAX_HEAD))
    return SIZE.pack(len(pickled) | flags) + pickled + bytes(bulk)


def is_piece(payload):
    """Is this payload a piece of bulk that belongs to a later message?"""
    return bytes(payload[:4]) == _PIECE_HEAD


def is_last(payload):
    """Is this payload the end of an answer?"""
    return len(payload) >= 4 and not SIZE.unpack_from(payload)[0] & (PIECE | MORE)


def unpack(payload):
    """(head, bulk) of one payload.  Raises ProtocolError."""
    if len(payload) < 4:
        raise ProtocolError('a payload of %d bytes' % len(payload))
    size = SIZE.unpack_from(payload)[0] & ~MORE
    if size > MAX_HEAD or len(payload) < 4 + size:
        raise ProtocolError('a message head of %d bytes in a payload of %d' % (size, len(payload)))
    stream = io.BytesIO(payload[4:4 + size])
    try:
        head = (_Unpickler(stream) if PY2 else _Unpickler(stream, encoding='bytes')).load()
        if stream.read(1):
            raise ProtocolError('bytes after the head of a message')
        check(head)
    except ProtocolError:
        raise
    except Exception as e:  # whatever a hostile pickle makes the unpickler raise
        raise ProtocolError('unreadable message: %s: %.200s' % (type(e).__name__, e))
    return head, payload[4 + size:]


def frames(dst, src, handle, reply_to, head, bulk=b'', flags=0):
    """The frames of one message, a list: pieces of CHUNK bytes first, the rest of the bulk with the head."""
    view = memoryview(bulk)
    found = []
    while len(view) > CHUNK:
        found.append(Frame(dst, src, handle, reply_to, _PIECE_HEAD + view[:CHUNK].tobytes()))
        view = view[CHUNK:]
    found.append(Frame(dst, src, handle, reply_to, pack(head, view.tobytes(), flags)))
    return found


class Assembler(object):
    """Puts the pieces of messages together.  `limit` bounds the bytes held for all unfinished messages."""

    def __init__(self, limit=MAX_MESSAGE):
        self._pieces = {}
        self._left = limit

    def feed(self, frame):
        """(head, bulk) if `frame` ends a message, else None.  Raises ProtocolError."""
        key = (frame.src, frame.handle, frame.reply_to)
        if is_piece(frame.payload):
            self._left -= len(frame.payload)
            if self._left < 0:
                raise ProtocolError('a message that is too long')
            self._pieces.setdefault(key, []).append(frame.payload[4:])
            return None
        head, bulk = unpack(frame.payload)
        pieces = self._pieces.pop(key, None)
        if pieces:
            self._left += sum(len(piece) + 4 for piece in pieces)
            bulk = b''.join(pieces + [bulk])
        return head, bulk
