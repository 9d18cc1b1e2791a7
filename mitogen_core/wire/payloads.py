"""Messages inside frames: a pickled head, and bulk that is never pickled.

    payload = >I flags and size of head | head (pickle protocol 2) | bulk

Two bits of the first word are flags.  PIECE: no head, only bulk that belongs in front of the bulk of the next message
of the same source and handle.  MORE: an answer that is not yet the last one to its handle.

Heads hold None, bool, int (64 bits), float, text, bytes, list, tuple and dict (keys: text, bytes, ints of 32 bits),
nothing else.  The reader knows just the opcodes that these are written with, finds no class, and looks at a key before
it is hashed: neither a crash nor more memory or time than what was sent deserves can be had from it.  It is the
unpickler that is written in Python, whose memo is a dict.
"""

import io
import pickle
import struct

from .constants import CHUNK, MAX_DEPTH, MAX_HEAD, MAX_MESSAGE, MAX_U32, MAX_UNFOLDED
from .errors import ProtocolError
from .frames import Frame
from .py23 import PY2, integer_types, text_type

SIZE = struct.Struct('>I')
PIECE = 0x80000000
MORE = 0x40000000
_PIECE_HEAD = SIZE.pack(PIECE)
TEXTS = (bytes, text_type)
CONTAINERS = (list, tuple, dict)
SCALARS = (type(None), bool, float) + integer_types
MAX_INT = (1 << 64) - 1
MAX_DIGITS = 32
# What a piece costs its keeper beyond its bytes.
PIECE_COST = 512

_OPCODES = ('PROTO STOP MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE '
            'BINSTRING SHORT_BINSTRING EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT '
            'SETITEM SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET GLOBAL REDUCE')
_Base = pickle.Unpickler if PY2 else pickle._Unpickler


def _latin1(left):
    """How pickle protocol 2 spells bytes of Python 3: a function of text.  It takes `left` characters in all, so that
    one text that is given to it again and again fills no memory."""
    left = [left]

    def encode(text=u'', encoding='latin1'):
        if encoding != 'latin1' or not isinstance(text, text_type) or len(text) > left[0]:
            raise ProtocolError('unexpected bytes in a message')
        left[0] -= len(text)
        return text.encode('latin1')
    return encode


class _Unpickler(_Base):
    dispatch = dict((getattr(pickle, name)[0], _Base.dispatch[getattr(pickle, name)[0]]) for name in _OPCODES.split())
    encode = None

    def find_class(self, module, name):
        if (module, name) in (('_codecs', 'encode'), ('__builtin__', 'bytes'), ('builtins', 'bytes')):
            return self.encode
        raise ProtocolError('a message may not hold %.99r.%.99r' % (module, name))

    def load_int(self):
        # How Python 2 spells what has more than 32 bits.  Some Pythons would take long over many digits.
        line = self.readline()
        if len(line) > MAX_DIGITS:
            raise ProtocolError('a message has a number of %d digits' % len(line))
        self.append(line == b'01\n' if line in (b'00\n', b'01\n') else int(line))

    def load_setitem(self):
        check_keys(self.stack[-2:-1])
        _Base.load_setitem(self)

    def load_setitems(self):
        check_keys(self.stack[(self.marker() + 1 if PY2 else 0)::2])
        _Base.load_setitems(self)

    dispatch[pickle.INT[0]] = load_int
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def check_keys(keys):
    """Raises ProtocolError where these can't be keys.  Among those that can none are made to collide."""
    for key in keys:
        if type(key) not in TEXTS and not (type(key) in integer_types and abs(key) <= MAX_U32):
            raise ProtocolError('a message has a key of type %s' % type(key).__name__)


def check(value):
    """Raises ProtocolError where `value` is no message.  Takes time for what was sent, not for what it unfolds to."""
    _weigh([value], MAX_DEPTH + 1, {})


def _weigh(items, room, known):
    """(characters and items, levels of containers) of what a container holds, which may be so many levels; `known` has
    those that were looked into, by id."""
    weight, levels = len(items), 0
    for item in items:
        kind = type(item)
        if kind in TEXTS:
            weight += len(item)
        elif kind in CONTAINERS:
            found = known.get(id(item))
            if found is None and room > 1:
                if kind is dict:
                    check_keys(item)
                    found = _weigh(list(item.values()), room - 1, known)
                    found = found[0] + sum(len(key) for key in item if type(key) in TEXTS), found[1]
                else:
                    found = _weigh(item, room - 1, known)
                known[id(item)] = found
            if found is None or found[1] + 1 >= room:
                raise ProtocolError('a message is too deep')
            weight += found[0]
            levels = max(levels, found[1] + 1)
        elif kind not in SCALARS or (kind in integer_types and abs(item) > MAX_INT):
            raise ProtocolError('a message may not hold %s' % kind.__name__)
        if weight > MAX_UNFOLDED + 1:
            raise ProtocolError('a message is too large')
    return weight, levels


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
        reader = _Unpickler(stream) if PY2 else _Unpickler(stream, encoding='bytes')
        reader.encode = _latin1(size)
        head = reader.load()
        if stream.read(1):
            raise ProtocolError('bytes after the head of a message')
        check(head)
    except ProtocolError:
        raise
    except Exception as e:  # whatever a hostile pickle makes the unpickler raise
        raise ProtocolError('unreadable message: %.200r' % (e,))
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

    def drop(self, src, handle, reply_to=0):
        """Forget the pieces of a message that will not be finished."""
        for piece in self._pieces.pop((src, handle, reply_to), ()):
            self._left += len(piece) + 4 + PIECE_COST

    def feed(self, frame):
        """(head, bulk) if `frame` ends a message, else None.  Raises ProtocolError."""
        key = (frame.src, frame.handle, frame.reply_to)
        if is_piece(frame.payload):
            self._left -= len(frame.payload) + PIECE_COST
            if self._left < 0:
                raise ProtocolError('a message that is too long')
            self._pieces.setdefault(key, []).append(frame.payload[4:])
            return None
        head, bulk = unpack(frame.payload)
        pieces = self._pieces.pop(key, None)
        if pieces:
            self._left += sum(len(piece) + 4 + PIECE_COST for piece in pieces)
            bulk = b''.join(pieces + [bulk])
        return head, bulk
