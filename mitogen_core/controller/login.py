"""A login: the process on the controller (ssh, a shell, ...) whose other end becomes the first broker of a target."""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

from ..remote.children import exit_code, kill_group
from ..remote.contexts import Child

# How much of a login's stderr is kept to explain its end.
TAIL = 4096
# What is no fault of the other end's.
ENDS = ('end of stream', 'shutdown')
# Descriptors: the three streams of its command.
FDS = 3


def has_room(logins: int) -> bool:
    """May another one have descriptors?  Some are left for workers."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return FDS * (logins + 1) <= limit - max(32, limit // 4)


class LoginCall:
    """What a Login takes for the call that it answers."""

    state = 'running'
    on_cancel: Any = None

    def __init__(self, contexts: Any, slot: Any) -> None:
        self.contexts, self.slot = contexts, slot

    def event(self, event: str) -> None:
        pass

    def progress(self, head: Any, bulk: bytes = b'') -> None:
        self.contexts.progress(self.slot, head, bulk)

    def reply(self, value: Any = None, bulk: bytes = b'') -> None:
        self.contexts.ready(self.slot, value)

    def fail(self, kind: str, text: str) -> None:
        self.contexts.failed(self.slot, kind, text)


class Login(Child):
    """A child context of the multiplexer."""

    def __init__(self, mux: Any, call: Any, args: dict[str, Any]) -> None:
        self.tail = b''
        self.code: int | None = None
        self._tell: Callable[[str], None] | None = None
        self.name = mux.contexts.name_of(args['id'])
        mux.contexts.processes.add(self)
        super().__init__(mux, call, args)

    def start(self, args: dict[str, Any], ends: tuple[int, ...], tty: bool) -> int:
        limit = self.broker.core_limit
        if limit is None:
            return int(super().start(args, ends, tty))
        # What runs there, a user's modules too, keeps the limit that the run has.
        ours = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, limit)
        try:
            return int(super().start(args, ends, tty))
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, ours)

    def heard(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-TAIL:]
        super().heard(data)

    def _on_exit(self, status: int) -> None:
        if self.err is not None:
            self._on_err()
        self.code = exit_code(status)
        super()._on_exit(status)
        if self.link and self.link.state == 'closed':
            self._close()
        self.broker.contexts.processes.discard(self)
        self._tell_now()

    def when_ended(self, tell: Callable[[str], None]) -> None:
        """Call tell(why), once, as soon as the process has said its last word, or after a second."""
        self._tell = tell
        self.loop.later(1, self._tell_now)
        if self.code is not None:
            self._tell_now()

    def _tell_now(self) -> None:
        tell, self._tell = self._tell, None
        if tell:
            tell(self.why())

    def why(self) -> str:
        """A sentence on the end of the link."""
        said = self.tail.decode('utf-8', 'replace').strip()
        code = '' if self.code is None else f' (exit code {self.code})'
        return f'{self.reason or "the link ended"}{code}{": " + said if said else ""}'

    def on_end(self, reason: str) -> None:
        # Keep listening to stderr until the process ends: it says why.
        err = None
        if self.code is None:
            err, self.err = self.err, None
        if reason not in ENDS and not reason.startswith('write: '):
            self.reason = self.reason or reason
            self.broker.log.about(self.name, 30, f'{self.name}: {reason}')
        super().on_end(reason)
        self.err = err

    def kill(self) -> None:
        if self.pid:
            kill_group(self.pid)
