"""The only place that knows Python 2 from Python 3."""

import os
import sys
import time

PY2 = sys.version_info[0] == 2
# Seconds of one wait: more than systems let poll(2) wait for is the same.
LONGEST_WAIT = 3600

if PY2:
    text_type = unicode  # noqa: F821  # pylint: disable=undefined-variable
    integer_types = (int, long)  # noqa: F821  # pylint: disable=undefined-variable

    def monotonic():
        # The real-time clock of times(2) does not jump when the wall clock is set.
        return os.times()[4]
else:
    text_type = str
    integer_types = (int,)
    monotonic = time.monotonic


def to_text(value):
    """Text of `value` (bytes are read as UTF-8; what can't be decoded is replaced)."""
    if isinstance(value, bytes):
        return value.decode('utf-8', 'replace')
    return value if isinstance(value, text_type) else text_type(value)


def to_native(value):
    """`str` of the running Python: what os.environ, exec and open want."""
    if PY2:
        return value.encode('utf-8') if isinstance(value, text_type) else value
    return value.decode('utf-8', 'surrogateescape') if isinstance(value, bytes) else value


def fs_text(value):
    """Text of a native path or environment string, as it can be sent to the other end."""
    return value.decode('utf-8', 'replace') if isinstance(value, bytes) else value
