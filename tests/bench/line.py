"""A line to a host: a TCP relay on this machine that delays each direction and counts what passes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

CHUNK = 1 << 16


class Passed(NamedTuple):
    """Bytes that came in at a time (monotonic, seconds), `up` to the host or down from it."""

    at: float
    up: bool
    size: int


class Line:
    """Relays connections to `port` of this machine to `target`, half of `rtt` (seconds) late in each direction."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.rtt = 0.0
        self.port = 0
        self.passed: list[Passed] = []

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host_reader, host_writer = await asyncio.open_connection(*self._target)
        await asyncio.gather(self._relay(reader, host_writer, True), self._relay(host_reader, writer, False),
                             return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            with contextlib.closing(writer):
                while True:
                    due, data = await late.get()
                    await asyncio.sleep(due - time.monotonic())
                    if not data:
                        return
                    writer.write(data)
                    await writer.drain()
        writing = asyncio.create_task(write())
        try:
            data = b"-"
            while data:
                data = await reader.read(CHUNK)
                now = time.monotonic()
                if data:
                    self.passed.append(Passed(now, up, len(data)))
                late.put_nowait((now + self.rtt / 2, data))
        except OSError:
            late.put_nowait((0, b""))
        await writing

    @contextlib.contextmanager
    def running(self) -> Iterator[Line]:
        ready = threading.Event()
        stops: list[Any] = []

        async def serve() -> None:
            stop = asyncio.Event()
            stops[:] = [asyncio.get_running_loop(), stop]
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()
            server.close()
        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        ready.wait(10)
        try:
            yield self
        finally:
            stops[0].call_soon_threadsafe(stops[1].set)
            thread.join(10)

    def between(self, start: float, end: float) -> tuple[int, int, int]:
        """Of this time: bytes up, down, and flights: how often something went up after something had come down."""
        found = [one for one in self.passed if start <= one.at <= end]
        flights = sum(one.up and not before.up for before, one in itertools.pairwise(found))
        return (sum(one.size for one in found if one.up), sum(one.size for one in found if not one.up),
                flights + (bool(found) and found[0].up))
