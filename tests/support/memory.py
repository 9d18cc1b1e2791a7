"""How far a process grows: resident memory at its peak, and its share of what it has together with others."""

from __future__ import annotations

import pathlib


class Memory:
    """Since it was looked at first."""

    def __init__(self, pid: int) -> None:
        self._folder = pathlib.Path(f'/proc/{pid}')
        (self._folder / 'clear_refs').write_text('5')
        self._before, self._share_before = self._peak(), self._share()

    def _peak(self) -> int:
        return _kilobytes(self._folder / 'status', 'VmHWM:') << 10

    def _share(self) -> int:
        return _kilobytes(self._folder / 'smaps_rollup', 'Pss:') << 10

    @property
    def growth(self) -> int:
        """Bytes, at the highest."""
        return self._peak() - self._before

    @property
    def share_growth(self) -> int:
        """Bytes, now: a page that is shared by two counts half."""
        return self._share() - self._share_before


def _kilobytes(path: pathlib.Path, name: str) -> int:
    return int(path.read_text().partition(name)[2].split()[0])
