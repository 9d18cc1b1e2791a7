"""The multiplexer's log: the file that MITOSIS_LOG names, and Ansible's own log, if there is one."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from ..wire.py23 import to_text

# Of each target: so many lines at once, and so many more in each second.
BURST, RATE = 200, 20


class Log:
    """Lines of time, level, where, text.  Where a path is empty nothing is written.

    `ansible`: a file that Ansible writes to too (its log_path): lines look like its own, from INFO on.  What targets
    say is bounded in number; how many lines were left out is said too.
    """

    def __init__(self, path: str, ansible: str = '', clock: Callable[[], float] = time.monotonic) -> None:
        self._fd, self._ansible = _open(path), _open(ansible)
        self._clock = clock
        self._allowed: dict[str, tuple[float, float, int]] = {}
        # Told of each line too: listener(level, where, text).
        self.listener: Callable[[int, str, str], None] | None = None

    @property
    def on(self) -> bool:
        """Is anything written?"""
        return self._fd >= 0 or self._ansible >= 0

    def write(self, level: int, text: str, where: str = 'multiplexer') -> None:
        name, now = logging.getLevelName(level), time.time()
        stamp, text = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now)), plain(text)
        where = plain(where)
        if self._fd >= 0:
            _append(self._fd, f'{stamp} {os.getpid()} {name} {where}: {text}')
        if self._ansible >= 0 and level >= logging.INFO:
            _append(self._ansible, f'{stamp},{int(now % 1 * 1000):03d} p={os.getpid()} u={_user()} n=mitogen {name}| '
                                   f'{where}: {text}')
        if self.listener:
            self.listener(level, where, text)

    def error(self, what: str) -> None:
        """Write the exception being handled."""
        for line in traceback.format_exc().splitlines():
            self.write(logging.ERROR, f'{what}: {line}')

    def remote(self, where: str, head: Any) -> None:
        """A record that a context forwarded: what it says is text from a target."""
        if isinstance(head, dict) and self._may(where):
            level, name = head.get('level'), _text(head.get('name'))[:80]
            known = isinstance(level, int) and 0 <= level <= logging.CRITICAL
            text = _text(head.get('text'))[:4096]
            self.write(int(level or 0) if known else logging.INFO, text, f'{where} {name}')

    def about(self, where: str, level: int, text: str) -> None:
        """A line of our own that this target is the cause of: it can make us say no more than it can say itself."""
        if self._may(where):
            self.write(level, text)

    def _may(self, where: str) -> bool:
        """Has this target not said too much lately?"""
        now = self._clock()
        left, before, silenced = self._allowed.get(where, (BURST, now, 0))
        left = min(BURST, left + (now - before) * RATE)
        if left < 1:
            self._allowed[where] = left, now, silenced + 1
            return False
        self._allowed[where] = left - 1, now, 0
        if silenced:
            self.write(logging.WARNING, f'{silenced} lines were left out', where)
        return True


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if path else -1


def _append(fd: int, line: str) -> None:
    os.write(fd, f'{line}\n'.encode('utf-8', 'replace'))


def _user() -> str:
    import getpass
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _text(value: Any) -> str:
    """What is a text, of what a target sent."""
    return to_text(value) if isinstance(value, (str, bytes)) else ''


def plain(text: str) -> str:
    """`text` on one line, and without what a terminal would obey."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode('ascii') for c in text)


# Characters of a sentence that a target has a part in.
MAX_SENTENCE = 8192


def harmless(text: Any) -> str:
    """A sentence that a target has a part in, for people: as `plain`, but of several lines, and not too long."""
    whole = _text(text)
    if len(whole) > MAX_SENTENCE:  # of a traceback the end says most
        whole = f'{whole[:MAX_SENTENCE // 4]}...{whole[-MAX_SENTENCE // 2:]}'
    return '\n'.join(plain(line.expandtabs()) for line in whole.replace('\r\n', '\n').split('\n'))


def one_line(text: Any) -> str:
    """The same, where what stands at the beginning of a line could be taken for somebody else's word."""
    return ' '.join(harmless(text).split())
