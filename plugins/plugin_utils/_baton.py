"""One thread at a time: the threads of a shard worker pass the baton on while they wait.  Elsewhere there is none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

_mine = threading.local()


class Baton:
    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def held(self, note: Callable[[bool], None]) -> Iterator[None]:
        """This thread runs, except within `waiting`.  note(True) is called as it waits, note(False) as it goes on."""
        with self._lock:
            _mine.baton, _mine.note = self, note
            try:
                yield
            finally:
                _mine.baton = None

    def condition(self) -> threading.Condition:
        """Of what is changed with the baton held; see wait_for."""
        return threading.Condition(self._lock)

    @staticmethod
    def waiting() -> contextlib.AbstractContextManager[None]:
        return waiting()


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """The others may run meanwhile."""
    baton = getattr(_mine, 'baton', None)
    if baton is None:
        yield
        return
    _mine.note(True)
    _mine.baton = None  # what waits within this wait has nothing to hand on
    baton._lock.release()
    try:
        yield
    finally:
        baton._lock.acquire()
        _mine.baton = baton
        _mine.note(False)


def mine() -> Baton | None:
    """The baton that this thread holds."""
    return getattr(_mine, 'baton', None)


def wait_for(condition: threading.Condition, predicate: Callable[[], bool]) -> None:
    """Until the predicate is true, which is asked with the baton held, the others may run."""
    if predicate():
        return
    _mine.note(True)
    try:
        condition.wait_for(predicate)
    finally:
        _mine.note(False)
