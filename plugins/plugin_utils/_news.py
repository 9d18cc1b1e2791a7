"""What is told while a call runs: that its host is silent, and with `mitosis_live` the lines that it prints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ansible import constants as C
from ansible.utils.display import Display

from ...mitogen_core.controller.log import plain
from . import _runtime

display = Display()

# Copies of more than this tell how far they are.
LARGE = 8 << 20
# What colours a terminal, or moves its cursor.
_ESCAPES = re.compile(r'\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\-_])')


class News:
    """on_progress of one call.  What is told is told at once, on stderr: a warning would come with the result."""

    def __init__(self, connection: Any, wanted: Callable[[], bool] = lambda: True,
                 on_sent: Callable[[], None] | None = None) -> None:
        """on_sent() is called when the multiplexer has passed the call on, if it was to tell."""
        self._connection, self._on_sent = connection, on_sent
        # Is the call to tell what it prints?
        self.live = bool(connection.get_option('mitosis_live') and not connection._play_context.no_log and wanted())
        self._rest = {1: b'', 2: b''}

    def __enter__(self) -> News:
        return self

    def __exit__(self, *_: object) -> None:
        for rest in self._rest.values():
            self._print(rest)

    def __call__(self, head: Any, data: bytes) -> None:
        if 'sent' in head:
            if self._on_sent:
                self._on_sent()
        elif 'silent' in head:
            what = f'has been silent for {head["silent"]} s' if head['silent'] else 'is back'
            self._say(plain(f'mitosis: {head["name"]} {what}'), C.COLOR_WARN)
        elif self.live and head.get('live') in self._rest:
            *lines, self._rest[head['live']] = re.split(rb'[\r\n]+', self._rest[head['live']] + data)
            for line in lines:
                self._print(line)

    def _print(self, line: bytes) -> None:
        text = plain(_ESCAPES.sub('', line.decode('utf-8', 'replace')).expandtabs())
        if text:
            connection = self._connection
            name = connection.get_option('mitosis_name') or connection._play_context.remote_addr
            self._say(f'{name} | {text}', C.COLOR_VERBOSE)

    @staticmethod
    def _say(text: str, color: Any) -> None:
        if _runtime.item() is None:
            display.display(text, stderr=True, color=color)
            return
        from ._compat.loops import said_at_once
        with said_at_once():
            display.display(text, stderr=True, color=color)

    def watch(self, chunks: Iterator[bytes], path: str, size: int) -> Iterator[bytes]:
        """`chunks` of a file of `size` bytes (0: not known), and at each tenth a word on how many there were."""
        if not self.live or 0 < size < LARGE:
            yield from chunks
            return
        done, step = 0, max(size // 10, LARGE)
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            if done // step > (done - len(chunk)) // step:
                of = f' of {size >> 20}' if size else ''
                self._print(f'{path}: {done >> 20}{of} MiB'.encode())
