"""The way between an ssh client and its sshd, which can be cut at any byte."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from dataclasses import dataclass

from tests.bench.line import CHUNK, Line

# Linger for no time: closing is a reset then.
RESET = struct.pack('ii', 1, 0)


@dataclass
class Cut:
    """`how`: drop (what comes is swallowed), reset, half-close (one direction ends), truncate (both end in order) or
    delay (by `seconds`, once); as soon as `byte` bytes have gone in the direction `up`."""

    how: str
    up: bool
    byte: int
    seconds: float = 0
    at: float = 0.0


class Way(Line):
    """A line with, at most, one cut.  `bytes`: passed since `begin`, by direction; `open`: connections."""

    def __init__(self, target: tuple[str, int]) -> None:
        super().__init__(target)
        self.begin(None)
        self.open = 0
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, cut: Cut | None) -> None:
        """A run begins."""
        self.cut, self.bytes = cut, {True: 0, False: 0}
        self._swallows = False

    def end(self) -> None:
        """A run is over: no connection stays that only this line holds."""
        if self._loop:
            for pair in list(self._pairs):
                for writer in pair:
                    self._loop.call_soon_threadsafe(writer.transport.abort)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._loop = asyncio.get_running_loop()
        host_reader, host_writer = await asyncio.open_connection(*self._target)
        pair = (writer, host_writer)
        self._pairs.add(pair)
        self.open += 1
        try:
            await asyncio.gather(self._pass(reader, host_writer, True, pair),
                                 self._pass(host_reader, writer, False, pair), return_exceptions=True)
        finally:
            for each in pair:
                each.close()
            self._pairs.discard(pair)
            self.open -= 1

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool,
                    pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        ended = False
        try:
            while data := await reader.read(CHUNK):
                before, self.bytes[up] = self.bytes[up], self.bytes[up] + len(data)
                cut = self.cut
                if cut and not cut.at and cut.up == up and self.bytes[up] >= cut.byte:
                    cut.at = time.monotonic()
                    if cut.how == 'delay':
                        await asyncio.sleep(cut.seconds)
                    else:
                        writer.write(data[:max(0, cut.byte - before)])
                        ended = self._apply(cut, writer, pair)
                        continue
                if not (ended or self._swallows):
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        if not (ended or self._swallows or writer.transport.is_closing()):
            writer.write_eof()

    def _apply(self, cut: Cut, writer: asyncio.StreamWriter,
               pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> bool:
        """Is it the end of this direction?"""
        if cut.how == 'drop':
            self._swallows = True
        elif cut.how == 'half-close':
            writer.write_eof()
        else:
            for each in pair:
                if cut.how == 'reset':
                    each.get_extra_info('socket').setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    each.transport.abort()
                else:
                    each.close()
        return not self._swallows
