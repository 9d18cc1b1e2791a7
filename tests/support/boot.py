"""A bootstrap by hand: what a controller sends to a target, byte by byte."""

from __future__ import annotations

import functools
import os
import select
import subprocess
import time
from typing import Any

from mitogen_core.controller import bootstrap
from mitogen_core.wire.constants import CALL_SERVICE, HELLO, ROOT
from mitogen_core.wire.frames import Frame, FrameDecoder
from mitogen_core.wire.hello import hello
from mitogen_core.wire.payloads import frames, pack, unpack

SECONDS = 60
# The id of the context that is started.
ME = 7


def hello_frame(**changes: Any) -> bytes:
    return Frame(ME, ROOT, HELLO, 0, pack(dict(hello(ROOT, 1, child=ME), **changes))).encode()


@functools.cache
def stream() -> tuple[bytes, ...]:
    """What goes to stdin: header, code, hello, a command that would run for long, a file to write."""
    code = bootstrap.boot_code()
    calls = (['processes', 'exec', {'argv': ['/bin/sh', '-c', 'exec sleep 1000']}],
             ['files', 'expanduser', {'path': '~'}])
    later = tuple(b''.join(frame.encode() for frame in frames(ME, ROOT, CALL_SERVICE, 1001 + n, call))
                  for n, call in enumerate(calls))
    return (b'\0%08d' % len(code), code, hello_frame(), *later)


class Boot:
    """A command that starts a first stage, and pipes to it."""

    def __init__(self, argv: list[str]) -> None:
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True, bufsize=0)
        self._stderr = b''

    def __enter__(self) -> Boot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def feed(self, data: bytes) -> None:
        """Give it these bytes; all of them fit into a pipe."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.process.stdin.fileno(), view):]

    def hello(self) -> tuple[str, dict[str, Any]]:
        """(version that the first stage printed, head of the broker's hello)."""
        self.feed(b''.join(stream()[:3]))
        data, decoder, found = b'', FrameDecoder(), []
        end = time.monotonic() + SECONDS
        while not found:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.process.stdout], [], [], left)[0], f'no hello, only {data!r}'
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, f'it ended: {self.stderr()!r}'
            data += more
            if b'\n' in data:
                mark, _, rest = data.partition(b'\n')
                found = FrameDecoder().feed(rest) if len(rest) > 24 else []
        del decoder
        assert mark.startswith(b'MITOSIS:')
        head = unpack(found[0].payload)[0]
        assert found[0].handle == HELLO
        return mark[8:].decode(), {str(key): value for key, value in head.items()}

    def stderr(self) -> bytes:
        """All it wrote there; ends the process."""
        if not self.process.stderr.closed:
            self.process.stdin.close()
            self.process.wait(SECONDS)
            self._stderr += self.process.stderr.read()
        return self._stderr

    def close(self) -> None:
        """Close the pipes, as a link that breaks does, and see the end of the process."""
        try:
            self.stderr()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(SECONDS)
            raise
        finally:
            for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
                pipe.close()
