"""What a module's commands print, as it appears: for calls whose caller wants it (`live`)."""

import os
import sys

from ..wire.constants import CHUNK
from ..wire.py23 import fs_text

# A line is passed on when it is complete, or this long.
MAX_LINE = 1 << 12
HIDDEN = b'********'

_way = None


def begin(send):
    """For the call that begins: send(stream, bytes) leads to its caller; None: nothing is wanted."""
    global _way
    _way = send and (os.getpid(), send)


def tap(pipe, stream):
    """What run_command is to read instead of `pipe`, its command's stdout (stream 1) or stderr (2)."""
    if not _way or _way[0] != os.getpid():
        return pipe
    # register(), our caller, was called by run_command, whose module knows what must not be told.
    module = sys._getframe(2).f_locals.get('self')
    hidden = [fs_text(value).encode('utf-8') for value in getattr(module, 'no_log_values', ())]
    return Tap(pipe, stream, sorted((value for value in hidden if value), key=len, reverse=True))


class Tap(object):
    """A pipe.  What is read from it is told in lines."""

    def __init__(self, pipe, stream, hidden):
        self._pipe, self._stream, self._hidden = pipe, stream, hidden
        self._rest = b''

    def __eq__(self, other):
        return other is self or other is self._pipe

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash(self._pipe)

    def __getattr__(self, name):
        return getattr(self._pipe, name)

    def read(self, size=-1):
        data = self._pipe.read(size)
        rest = self._rest + (data or b'')
        # The end of the last complete line; a carriage return begins a line anew.
        end = max(rest.rfind(b'\n'), rest.rfind(b'\r')) + 1
        if not data or len(rest) > MAX_LINE:
            end = len(rest)
        self._rest = rest[end:]
        if end:
            self._tell(rest[:end])
        return data

    def _tell(self, text):
        for value in self._hidden:
            text = text.replace(value, HIDDEN)
        try:
            for start in range(0, len(text), CHUNK):
                _way[1](self._stream, text[start:start + CHUNK])
        except Exception:  # it must not become the command's failure
            pass
