"""Memory of all processes that a run starts, over its time: here, and on targets that are network namespaces of this
machine.  What a process has for itself (USS), so that what forks share is not counted for each."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

import psutil

PAUSE = 0.2
MULTIPLEXER = "mitogen_core.controller.supervisor"


def _network(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


class Curve:
    """`points`: (seconds since the beginning, bytes here, bytes on targets); `multiplexer`: CPU seconds of ours."""

    def __init__(self) -> None:
        self.points: list[tuple[float, int, int]] = []
        self._multiplexers: dict[int, float] = {}
        # Told by when they started, as the system says it: its clock may be another one than time.time().
        self._before = {(process.pid, process.create_time()) for process in psutil.process_iter()}
        self._began = time.monotonic()
        self._here = _network(os.getpid())

    def sample(self) -> None:
        here = there = 0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if (process.pid, process.create_time()) not in self._before:
                    used = process.memory_full_info().uss
                    if MULTIPLEXER in " ".join(process.cmdline()):
                        times = process.cpu_times()
                        self._multiplexers[process.pid] = times.user + times.system
                    if _network(process.pid) == self._here:
                        here += used
                    else:
                        there += used
        self.points.append((time.monotonic() - self._began, here, there))

    @property
    def multiplexer(self) -> float:
        return sum(self._multiplexers.values())

    def peaks(self) -> tuple[float, float]:
        """Megabytes at most, here and on targets."""
        return tuple(max((point[at] for point in self.points), default=0) / 1e6 for at in (1, 2))  # type: ignore[return-value]

    def tenths(self, at: int) -> list[float]:
        """Megabytes, the highest of each tenth of the run."""
        end = self.points[-1][0]
        return [max((point[at] for point in self.points if tenth <= 10 * point[0] / end <= tenth + 1), default=0) / 1e6
                for tenth in range(10)]


@contextlib.contextmanager
def watched() -> Iterator[Curve]:
    """The curve of what is started meanwhile."""
    curve, over = Curve(), threading.Event()

    def watch() -> None:
        while not over.wait(PAUSE):
            curve.sample()
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield curve
    finally:
        over.set()
        thread.join()
