"""The client's end: what a worker uses to talk to the multiplexer.  Blocking, no threads."""

from __future__ import annotations

import collections
import contextlib
import errno
import os
import select
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ..wire.constants import CALL_SERVICE, CHUNK, FIRST_DYNAMIC, HELLO, IS_DEAD, READ_SIZE, ROOT, SMALL, VERSION
from ..wire.errors import CallError, ChannelError, ProtocolError
from ..wire.frames import Frame, FrameDecoder
from ..wire.hello import check_hello, hello
from ..wire.payloads import Assembler, frames, pack, unpack
from ..wire.py23 import LONGEST_WAIT
from .log import harmless

# The environment variable that names a folder for profiles: see profile.py.
PROFILE = 'MITOSIS_PROFILE'
# Requests of one file that are under way at the same time, CHUNK bytes each.
WINDOW = 8
# Bytes of a file that are asked for before it is known that it is wanted.
SMALL_FILE = 16 << 10
# What the multiplexer says of an answer, and nobody else.
ITS_WORDS = ('sent', 'silent')
# After this silence, while an answer may take any time, the multiplexer is asked whether it is alive.
PROBE_SECONDS = 30


def _edition() -> str:
    """What tells this code from any that takes its place on the disk: the version of the wire, and when it came there.
    """
    try:
        return f'{VERSION}-{os.stat(__file__).st_ctime_ns:x}'
    except OSError:
        return str(VERSION)


# The multiplexer's socket in the folder of a run.  Where the collection is replaced in the middle of a run, what is new
# has another, and so never meets the old.
SOCKET = f'mux-{_edition()}.sock'


class StartError(Exception):
    """The multiplexer could not be started."""


class WaitError(ChannelError):
    """A wait ended at its deadline."""


class Client:
    """A connection to the multiplexer.  Raises OSError where nobody listens at `path`."""

    def __init__(self, path: str) -> None:
        self._socket = connect(path)
        self._decoder, self._assembler = FrameDecoder(), Assembler()
        self._frames: collections.deque[Frame] = collections.deque()
        self._handle = FIRST_DYNAMIC
        self._greeted = False
        self._unwanted: set[int] = set()
        # Around whatever may block.
        self.waiting: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        self._send([Frame(ROOT, 0, HELLO, 0, pack(hello(0, os.getpid())))])

    def close(self) -> None:
        self._socket.close()

    def _send(self, outgoing: list[Frame]) -> None:
        try:
            data = b''.join(frame.encode() for frame in outgoing)
            with self.waiting() if len(data) > SMALL else contextlib.nullcontext():
                self._socket.sendall(data)
        except OSError as e:
            raise ChannelError(f'the multiplexer is gone: {e.strerror}') from e

    def post(self, dst: int, handle: int, head: Any, bulk: bytes = b'') -> None:
        """Send a message that has no answer."""
        self._send(frames(dst, 0, handle, 0, head, bulk))

    def start(self, dst: int, service: str, method: str, args: dict[str, Any], bulk: bytes = b'') -> int:
        """Send a request; returns the handle of its answer."""
        self._handle += 1
        self._send(frames(dst, 0, CALL_SERVICE, self._handle, [service, method, plain(args)], bulk))
        return self._handle

    def tell(self, service: str, method: str, args: dict[str, Any], bulk: bytes = b'') -> None:
        """Send the multiplexer a request whose answer does not matter."""
        self.tell_to(ROOT, service, method, args, bulk)

    def tell_to(self, dst: int, service: str, method: str, args: dict[str, Any], bulk: bytes = b'') -> None:
        """Send a context a request whose answer does not matter."""
        self._unwanted.add(self.start(dst, service, method, args, bulk))

    def forget(self, handle: int) -> None:
        """The answer of a request does not matter any more."""
        self._unwanted.add(handle)
        self._frames = collections.deque(frame for frame in self._frames if frame.handle != handle)

    def wait(self, handle: int, what: str, timeout: float | None = None,
             on_progress: Callable[[Any, bytes], None] | None = None) -> tuple[Any, bytes]:
        """(value, bulk) of the answer.  `what` says in an error what was waited for; `timeout` in seconds.

        Raises CallError (with attribute `more`, a dict) for a failure over there, ChannelError where no answer comes.
        """
        end = None if timeout is None else time.monotonic() + timeout
        others: list[Frame] = []
        try:
            return self._wait(handle, what, end, timeout, on_progress, others)
        finally:
            self._frames.extendleft(reversed(others))

    def _wait(self, handle: int, what: str, end: float | None, timeout: float | None,
              on_progress: Callable[[Any, bytes], None] | None, others: list[Frame]) -> tuple[Any, bytes]:
        while True:
            frame = self._next(what, end, timeout)
            if frame.handle != handle:
                if frame.handle not in self._unwanted:
                    others.append(frame)
                continue
            message = answer_in(frame, self._assembler, what)
            if message is None:
                continue
            kind, value, bulk = message
            if kind == 'ok':
                return value, bulk
            if on_progress:
                on_progress(value, bulk)

    def call(self, dst: int, service: str, method: str, args: dict[str, Any], bulk: bytes = b'',
             timeout: float | None = None, what: str = '',
             on_progress: Callable[[Any, bytes], None] | None = None) -> tuple[Any, bytes]:
        """`start` and `wait`."""
        return self.wait(self.start(dst, service, method, args, bulk), what or f'{service}.{method}', timeout,
                         on_progress)

    def _next(self, what: str, end: float | None, timeout: float | None) -> Frame:
        probed = False
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while not self._frames:
            left = PROBE_SECONDS if end is None else max(0, end - time.monotonic())
            with self.waiting():
                ready = poller.poll(min(left, LONGEST_WAIT) * 1000)
            if not ready:
                if left > LONGEST_WAIT:
                    continue
                if end is not None:
                    raise WaitError(f'waited {timeout:.0f} s for {what}')
                if probed:
                    raise WaitError(f'the multiplexer has not answered for {2 * PROBE_SECONDS} s, while waiting '
                                    f'for {what}')
                self.tell('status', 'status', {})
                probed = True
                continue
            probed = False
            try:
                data = self._socket.recv(READ_SIZE)
            except OSError as e:
                raise ChannelError(f'the multiplexer is gone: {e.strerror}, while waiting for {what}') from e
            if not data:
                raise ChannelError(f'the multiplexer ended while waiting for {what}')
            self._frames.extend(self._decoder.feed(data))
            if not self._greeted and self._frames:
                first = self._frames.popleft()
                if first.handle != HELLO:
                    raise ProtocolError('the multiplexer did not say hello')
                check_hello(unpack(first.payload)[0])
                self._greeted = True
        return self._frames.popleft()

    # files

    def put(self, context: int, path: str, chunks: Iterator[bytes], mode: int) -> None:
        """Write a file of a context's host; at most WINDOW chunks (CHUNK bytes each) are under way."""
        under_way: collections.deque[int] = collections.deque()
        for args, chunk in writes(path, chunks, mode):
            under_way.append(self.start(context, 'files', 'write', args, chunk))
            if len(under_way) >= WINDOW:
                self.wait(under_way.popleft(), f'writing {path}')
        while under_way:
            self.wait(under_way.popleft(), f'writing {path}')

    def get(self, context: int, path: str) -> Iterator[bytes]:
        """The chunks of a file of a context's host."""
        return (chunk for _mode, chunk in self.pieces(context, path) if chunk)

    def pieces(self, context: int, path: str, first: tuple[int, bytes] | None = None) -> Iterator[tuple[int, bytes]]:
        """Mode and chunks of a file of a context's host, at least one.  `first`: those of its first SMALL_FILE bytes,
        where they were asked for already."""
        under_way: collections.deque[int] = collections.deque()
        offset, end = 0, False
        window = 1  # most files are small: see first whether there is more than one chunk
        if first is not None:
            offset, end, window = len(first[1]), len(first[1]) < SMALL_FILE, WINDOW
            yield first
        while not end or under_way:
            while not end and len(under_way) < window:
                under_way.append(self.start(context, 'files', 'read', {'path': path, 'offset': offset, 'size': CHUNK}))
                offset += CHUNK
            mode, chunk = self.wait(under_way.popleft(), f'reading {path}')
            if type(mode) is not int or len(chunk) > CHUNK:  # pylint: disable=unidiomatic-typecheck
                raise ChannelError(f'reading {path}: not what was asked for')
            end, window = end or len(chunk) < CHUNK, WINDOW
            yield int(mode), chunk


def writes(path: str, chunks: Iterator[bytes], mode: int) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The requests (args and bulk of files.write) that make a file of these chunks."""
    offset = 0
    for chunk in chunks:
        yield {'path': path, 'offset': offset, 'mode': mode}, chunk
        offset += len(chunk)


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """Pieces of a file, as `Client.put` takes them; one empty piece for an empty file, which has to be made too."""
    chunk = source.read(CHUNK)
    yield chunk
    while len(chunk) == CHUNK:
        chunk = source.read(CHUNK)
        if chunk:
            yield chunk


def answer_in(frame: Frame, assembler: Assembler, what: str) -> tuple[str, Any, bytes] | None:
    """What the frame of an answer says: 'ok' or 'progress' (its value is a dict), value, bulk; None where that is to be
    continued.  It may come from any target.  Raises CallError for the news of a failure, ChannelError for that of an
    end, and where it can't be read."""
    try:
        if frame.reply_to == IS_DEAD:
            raise ChannelError(harmless(unpack(frame.payload)[0]))
        message = assembler.feed(frame)
        if message is None:
            return None
        (kind, value), bulk = message
        if kind == 'error':
            raise call_error(value)
        if kind == 'progress' and frame.src != ROOT:
            value = {key: item for key, item in value.items() if key not in ITS_WORDS}
        if kind in ('ok', 'progress'):
            return kind, value, bulk
    except (ProtocolError, ValueError, TypeError, LookupError, AttributeError) as e:
        raise ChannelError(f'{what}: the answer can not be read: {harmless(str(e))}') from None
    raise ChannelError(f'{what}: the answer can not be read')


def call_error(value: Any) -> CallError:
    """The error that an answer ['error', value] tells; what it has besides kind and text is its attribute `more`."""
    more = {str(key): item for key, item in value.items()}
    error = CallError(harmless(more.pop('kind')), harmless(more.pop('text')))
    error.more = more  # type: ignore[attr-defined]
    return error


def plain(value: Any) -> Any:
    """`value` with subclasses of str, dict and list made plain: callers' tagged text is just text to us."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def connect(path: str) -> socket.socket:
    """Connect to a Unix socket, also where `path` is longer than the system's socket addresses.

    Raises PermissionError, which is an OSError, where another user might listen there, or does.
    """
    check_private(os.path.dirname(path))
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address(path) as short:
            found.connect(short)
        if not is_ours(found):
            raise PermissionError(errno.EACCES, 'a process of another user listens there', path)
    except OSError:
        found.close()
        raise
    return found


def check_private(folder: str) -> None:
    """Raises PermissionError where `folder` is not this user's alone, OSError where there is none."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(errno.EACCES, 'it is not a folder of this user alone', folder)


def is_ours(connection: socket.socket) -> bool:
    """Is a process of this user at the other end of a Unix socket?  Where the system does not tell, its folder does."""
    if not hasattr(socket, 'SO_PEERCRED'):
        return True
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
    return int(struct.unpack('3i', data)[1]) == os.geteuid()


class address:
    """A short name for the path of a socket, while it is being bound or connected to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) < 100:
            return self._path
        folder, name = os.path.split(self._path)
        self._fd = os.open(folder, os.O_RDONLY)
        return f'/proc/self/fd/{self._fd}/{name}'

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
