"""Requests, as the multiplexer sees them: of clients to its services, and its own to contexts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..wire.constants import ROOT
from ..wire.payloads import MORE, frames
from .log import harmless


class Requests(dict[tuple[int, int], Any]):
    """Requests by (client, handle), that finds those of one client at once."""

    def __init__(self) -> None:
        super().__init__()
        self._handles: dict[int, set[int]] = {}

    def __setitem__(self, key: tuple[int, int], request: Any) -> None:
        super().__setitem__(key, request)
        self._handles.setdefault(key[0], set()).add(key[1])

    def __delitem__(self, key: tuple[int, int]) -> None:
        super().__delitem__(key)
        handles = self._handles[key[0]]
        handles.discard(key[1])
        if not handles:
            del self._handles[key[0]]

    def pop(self, key: tuple[int, int], default: Any = None) -> Any:
        found = self.get(key, default)
        if key in self:
            del self[key]
        return found

    def of(self, client: int) -> list[tuple[tuple[int, int], Any]]:
        return [((client, handle), self[client, handle]) for handle in sorted(self._handles.get(client, ()))]


class Pending(NamedTuple):
    """A request of a client that a context has to answer."""

    context: int
    since: float


class ClientCall:
    """A request of a client to a service of the multiplexer; answered once."""

    def __init__(self, mux: Any, client: int, reply_to: int) -> None:
        self.mux, self.client, self.reply_to = mux, client, reply_to
        self.done = False
        self.on_cancel: Callable[[], None] | None = None
        mux.calls[client, reply_to] = self

    @property
    def waiting(self) -> bool:
        """Does anyone wait for the answer?"""
        return not self.done and self.client in self.mux.clients

    def _send(self, head: list[Any], bulk: bytes = b'', flags: int = 0) -> None:
        if self.waiting:
            self.mux.clients[self.client].send(*frames(self.client, ROOT, self.reply_to, 0, head, bulk, flags))

    def progress(self, head: Any, bulk: bytes = b'') -> None:
        """Send something that is not yet the answer."""
        self._send(['progress', head], bulk, MORE)

    def _end(self, head: list[Any], bulk: bytes = b'') -> None:
        self._send(head, bulk)
        self.hand_over()

    def reply(self, value: Any = None, bulk: bytes = b'') -> None:
        self._end(['ok', value], bulk)

    def hand_over(self) -> None:
        """No answer is to come from here: a context answers it, or it is answered."""
        self.done = True
        self.mux.calls.pop((self.client, self.reply_to), None)

    def fail(self, kind: str, text: str, **more: Any) -> None:
        self._end(['error', dict(more, kind=kind, text=harmless(text))])

    def cancel(self) -> None:
        """Nobody waits any more."""
        self.hand_over()
        if self.on_cancel:
            self.on_cancel()


class OwnCall:
    """A request of the multiplexer to a service of a context."""

    def __init__(self, on_done: Callable[[str, Any, bytes], None],
                 on_progress: Callable[[Any, bytes], None] | None) -> None:
        self.on_done, self.on_progress = on_done, on_progress
