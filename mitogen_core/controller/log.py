"""The multiplexer's log: silent unless MITOSIS_LOG names a file."""

from __future__ import annotations

import logging
import os
import time
import traceback
from typing import Any

from ..wire.py23 import to_text


class Log:
    """Lines of time, level, where, text.  `path` empty: nothing is written."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if path else -1

    @property
    def on(self) -> bool:
        """Is anything written?"""
        return self._fd >= 0

    def write(self, level: int, text: str, where: str = 'multiplexer') -> None:
        if self._fd >= 0:
            stamp = time.strftime('%Y-%m-%d %H:%M:%S')
            line = f'{stamp} {os.getpid()} {logging.getLevelName(level)} {plain(where)}: {plain(text)}\n'
            os.write(self._fd, line.encode('utf-8', 'replace'))

    def error(self, what: str) -> None:
        """Write the exception being handled."""
        for line in traceback.format_exc().splitlines():
            self.write(logging.ERROR, f'{what}: {line}')

    def remote(self, where: str, head: Any) -> None:
        """A record that a context forwarded: what it says is text from a target."""
        if isinstance(head, dict):
            level, name = head.get('level'), to_text(head.get('name', ''))[:80]
            known = isinstance(level, int) and 0 <= level <= logging.CRITICAL
            text = to_text(head.get('text', ''))[:4096]
            self.write(int(level or 0) if known else logging.INFO, text, f'{where} {name}')


def plain(text: str) -> str:
    """`text` on one line, and without what a terminal would obey."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode('ascii') for c in text)
