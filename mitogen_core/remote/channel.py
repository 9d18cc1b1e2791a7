"""What a function that was called in a context publishes.  The other end is mitogen_core.controller.tree.

Only the process that was called publishes: in a fork of it nothing happens.
"""

import os
import threading

from ..wire.constants import CHUNK, PUBLISH
from ..wire.py23 import to_text

_lock = threading.Lock()
_way = None


def open_way(send):
    """For the call that begins: send(handle, head, bulk) leads to the broker."""
    global _way
    _way = os.getpid(), send


def publish(slot, value=None, bulk=b'', keep=False):
    """Publish to all who have subscribed to `slot` (text); returns at once, unless one of them makes publishers wait.

    `value`: None, bool, int, float, text, bytes, or lists, tuples and dicts of these; `bulk`: bytes.  `keep`: give
    this, as the last word of this context, to those who subscribe later.  Raises ValueError for more than CHUNK bytes
    of bulk, and mitogen_core.wire.errors.ProtocolError for a value that can't be sent.
    """
    if len(bulk) > CHUNK:
        raise ValueError('a publication of %d bytes (at most %d)' % (len(bulk), CHUNK))
    if _way and _way[0] == os.getpid():
        with _lock:
            _way[1](PUBLISH, {u'slot': to_text(slot), u'value': value, u'keep': bool(keep)}, bulk)


class Writer(object):
    """A file, open for writing text: each line is published, as text without its newline.  Not for several threads."""

    def __init__(self, slot, publish=publish):
        self.slot, self._publish = slot, publish
        self._rest = u''

    def write(self, text):
        lines = (self._rest + to_text(text)).split(u'\n')
        self._rest = lines.pop()
        for line in lines:
            self._publish(self.slot, line)
        return len(text)

    def flush(self):
        """Publish a line that has no end yet."""
        if self._rest:
            rest, self._rest = self._rest, u''
            self._publish(self.slot, rest)

    close = flush
