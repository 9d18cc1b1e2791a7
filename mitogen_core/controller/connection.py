"""A connection to the multiplexer for programs: many requests at a time, from any thread, answered by futures.

One thread reads; it waits for the socket and for nothing else.  (Ansible's workers, which fork, have client.py.)
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import logging
import os
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any

from ..wire.constants import CALL_SERVICE, CANCEL, FIRST_DYNAMIC, HELLO, IS_DEAD, READ_SIZE, ROOT
from ..wire.errors import ChannelError, MitosisError, ProtocolError
from ..wire.frames import Frame, FrameDecoder
from ..wire.hello import check_hello, hello
from ..wire.payloads import Assembler, frames, pack, unpack
from .client import answer_in, connect, plain

# Each frame, at level DEBUG.
IO = logging.getLogger('mitogen.io')
logging.getLogger('mitogen').addHandler(logging.NullHandler())


class ForkError(MitosisError):
    """What belongs to one process was used in a fork of it."""


class Future(concurrent.futures.Future[Any]):
    """The answer of a call.

    result(timeout) raises TimeoutError where it is not there in time (the call goes on), CallError where the call
    failed over there (`kind`, `text`, and `more`, a dict), ChannelError where no answer will come, CancelledError.
    Callbacks run in the connection's thread and must not wait for other answers.
    """

    def __init__(self, connection: Connection, dst: int, handle: int) -> None:
        super().__init__()
        self._connection, self.dst, self.handle = connection, dst, handle

    def cancel(self) -> bool:
        """Give up: the work is ended as far as that is possible.  False where the answer was there before."""
        done = super().cancel()
        if done:
            self._connection.forget(self.dst, self.handle)
        return done


class _Request:
    def __init__(self, future: Future, convert: Callable[[Any, bytes], Any],
                 on_progress: Callable[[Any, bytes], None] | None) -> None:
        self.future, self.convert, self.on_progress = future, convert, on_progress


class Connection:
    """Raises OSError where nobody listens at `path`."""

    def __init__(self, path: str) -> None:
        self._pid = os.getpid()
        self._socket = connect(path)
        self._handles = itertools.count(FIRST_DYNAMIC)
        self._sending, self._lock = threading.Lock(), threading.Lock()
        self._requests: dict[int, _Request] = {}
        self._ended = ''
        self._post([Frame(ROOT, 0, HELLO, 0, pack(hello(0, os.getpid())))])
        self._thread = threading.Thread(target=self._read, name='mitosis-connection', daemon=True)
        self._thread.start()
        _CONNECTIONS.add(self)

    # sending

    def request(self, dst: int, handle: int, head: Any, bulk: bytes = b'',
                convert: Callable[[Any, bytes], Any] = lambda value, bulk: (value, bulk),
                on_progress: Callable[[Any, bytes], None] | None = None) -> Future:
        """Send a request to a context.  The future's result is convert(value, bulk) of the answer."""
        reply_to = next(self._handles)
        future = Future(self, dst, reply_to)
        with self._lock:
            self._check()
            self._requests[reply_to] = _Request(future, convert, on_progress)
        try:
            self._post(frames(dst, 0, handle, reply_to, plain(head), bulk))
        except BaseException:
            with self._lock:
                self._requests.pop(reply_to, None)
            raise
        return future

    def service(self, dst: int, service: str, method: str, args: dict[str, Any], bulk: bytes = b'',
                **more: Any) -> Future:
        """Call a service of a context (docs/wire-format.md, section 5)."""
        return self.request(dst, CALL_SERVICE, [service, method, args], bulk, **more)

    def post(self, dst: int, handle: int, head: Any, bulk: bytes = b'') -> None:
        """Send a message that has no answer."""
        self._check()
        self._post(frames(dst, 0, handle, 0, head, bulk))

    def forget(self, dst: int, handle: int) -> None:
        """Nobody waits for this answer any more."""
        with self._lock:
            known = self._requests.pop(handle, None)
        if known and not self._ended:
            with contextlib.suppress(ChannelError):
                self._post([Frame(dst, 0, CANCEL, 0, pack(handle))])

    def _check(self) -> None:
        if os.getpid() != self._pid:
            raise ForkError(f'this connection belongs to process {self._pid}; a fork of it needs one of its own')
        if self._ended:
            raise ChannelError(self._ended)

    def _post(self, outgoing: list[Frame]) -> None:
        with self._sending:
            try:
                for frame in outgoing:
                    IO.debug('sent %r', frame)
                    self._socket.sendall(frame.encode())
            except OSError as e:
                raise ChannelError(f'the multiplexer is gone: {e.strerror}') from e

    # receiving

    def _read(self) -> None:
        decoder, assembler, greeted = FrameDecoder(), Assembler(), False
        reason = 'the multiplexer ended'
        try:
            while data := self._socket.recv(READ_SIZE):
                for frame in decoder.feed(data):
                    if greeted:
                        self._on_frame(frame, assembler)
                    elif frame.handle == HELLO:
                        check_hello(unpack(frame.payload)[0])
                        greeted = True
        except (OSError, ProtocolError) as e:
            reason = f'the connection to the multiplexer ended: {e}'
        self._end(reason)

    def _on_frame(self, frame: Frame, assembler: Assembler) -> None:
        IO.debug('got %r', frame)
        request = self._requests.get(frame.handle)
        if request is None:
            assembler.drop(frame.src, frame.handle)
            return
        if frame.reply_to == IS_DEAD:
            assembler.drop(request.future.dst, frame.handle)
        try:
            message = answer_in(frame, assembler, 'a request')
            if message and message[0] == 'ok':
                self._finish(frame.handle, None, request.convert(*message[1:]))
        except Exception as e:
            self._finish(frame.handle, e)
            return
        if message and message[0] == 'progress' and request.on_progress:
            _guarded(request.on_progress, *message[1:])

    def _finish(self, handle: int, error: Exception | None, value: Any = None) -> None:
        with self._lock:
            request = self._requests.pop(handle, None)
        if request and request.future.set_running_or_notify_cancel():
            if error:
                request.future.set_exception(error)
            else:
                request.future.set_result(value)

    def _end(self, reason: str) -> None:
        with self._lock:
            self._ended = self._ended or reason
            handles = list(self._requests)
        for handle in handles:
            self._finish(handle, ChannelError(self._ended))

    def close(self) -> None:
        """End it; whoever still waits gets a ChannelError."""
        if os.getpid() == self._pid:
            self._end('the connection was closed')
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if threading.current_thread() is not self._thread:
                self._thread.join()
        self._socket.close()


def _guarded(callback: Callable[..., None], *args: Any) -> None:
    """A callback that fails must not end the thread that all answers come through: its traceback is printed."""
    try:
        callback(*args)
    except Exception as e:
        hook = threading.ExceptHookArgs((type(e), e, e.__traceback__, threading.current_thread()))
        threading.excepthook(hook)


_CONNECTIONS: weakref.WeakSet[Connection] = weakref.WeakSet()


def _after_fork() -> None:
    """In a child: the parent's sockets are not ours to keep open."""
    for connection in list(_CONNECTIONS):
        connection._socket.close()


os.register_at_fork(after_in_child=_after_fork)
