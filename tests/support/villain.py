"""A target in the hands of somebody else: it shakes hands as the first stage and a broker do, and then may say what it
likes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from mitogen_core.remote.entry import read_exactly
from mitogen_core.wire.constants import CALL_SERVICE, HELLO, ROOT
from mitogen_core.wire.frames import Frame, FrameDecoder
from mitogen_core.wire.hello import hello
from mitogen_core.wire.payloads import PIECE, SIZE, frames, pack, unpack

SAYS = {'python': [3, 11, 2], 'executable': '/usr/bin/python3', 'user': 'villain', 'uid': 0, 'home': '/home/villain',
        'host': 'lair'}
Request = tuple[Frame, str, str, dict[str, Any]]


class Villain:
    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []
        self.late: dict[str, str] = {}
        self.me = self.parent = 0

    # what it must do

    def boot(self) -> None:
        """As the first stage, up to the parent's hello."""
        os.write(1, b'MITOSIS:3.11\n')
        while read_exactly(1) != b'\0':
            pass
        read_exactly(int(read_exactly(8)))
        head = unpack(self.next().payload)[0]
        self.me, self.parent, self.late = head['child'], head['id'], head['late']

    def hello(self, **changes: Any) -> bytes:
        head = {**hello(self.me, os.getpid(), **SAYS), **changes}
        return Frame(self.parent, self.me, HELLO, 0, pack(head)).encode()

    def next(self) -> Frame:
        while not self._frames:
            data = os.read(0, 1 << 16)
            if not data:
                sys.exit(0)
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def requests(self) -> Iterator[Request]:
        while True:
            frame = self.next()
            if frame.handle == CALL_SERVICE and not frame.payload.startswith(SIZE.pack(PIECE)):
                service, method, args = unpack(frame.payload)[0]
                yield frame, service, method, args

    # what it may do

    def write(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(1, data):]
            return
        sys.exit(0)

    def send(self, handle: int, head: Any, bulk: bytes = b'', dst: int = ROOT, src: int | None = None,
             reply_to: int = 0, flags: int = 0) -> None:
        self.write(b''.join(frame.encode() for frame in frames(
            dst, self.me if src is None else src, handle, reply_to, head, bulk, flags)))

    def answer(self, request: Request, head: Any, bulk: bytes = b'', flags: int = 0) -> None:
        self.send(request[0].reply_to, head, bulk, request[0].src, flags=flags)

    def honestly(self, request: Request) -> None:
        """Answer as a broker would."""
        _, service, method, args = request
        known = {('files', 'expanduser'): (args.get('path'), b''), ('files', 'read'): (0o644, b'of the villain'),
                 ('processes', 'exec'): ({'rc': 0, 'out': 2}, b'ok')}
        if (service, method) in known:
            value, bulk = known[service, method]
            self.answer(request, ['ok', value], bulk)
        else:
            self.answer(request, ['error', {'kind': 'service', 'text': 'no such service'}])
