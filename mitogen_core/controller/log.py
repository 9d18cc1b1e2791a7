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

    def write(self, level: int, text: str, where: str = 'multiplexer') -> None:
        if self._fd >= 0:
            stamp = time.strftime('%Y-%m-%d %H:%M:%S')
            line = f'{stamp} {os.getpid()} {logging.getLevelName(level)} {where}: {text}\n'
            os.write(self._fd, line.encode('utf-8', 'replace'))

    def error(self, what: str) -> None:
        """Write the exception being handled."""
        self.write(logging.ERROR, f'{what}: {traceback.format_exc()}')

    def remote(self, where: str, head: Any) -> None:
        """A record that a context forwarded: what it says is text from a target, and is made harmless."""
        if isinstance(head, dict):
            level = head.get('level')
            text = to_text(head.get('text', ''))[:4096].encode('unicode_escape').decode('ascii')
            name = to_text(head.get('name', ''))[:80]
            self.write(level if isinstance(level, int) and level <= 50 else 20, text, f'{where} {name}')
