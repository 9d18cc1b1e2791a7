"""The first hop of a chain, and what may go wrong on the way to a context."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ...mitogen_core.controller.content import digest_of
from ...mitogen_core.wire.errors import CallError
from ._compat import Unknown
from ._compat.ssh import Command

# Runs a program on the host that a connection starts from: (argv, stdin) -> (exit code, stdout, stderr).
Run = Callable[[list[str], bytes], tuple[int, bytes, bytes]]
# ssh's own, and those of most servers.
PROMPT = re.compile(rb'(?i)(?:password|passcode|passphrase)[^\n]*:\s*\Z')


def key_of(kind: str, *parts: Any) -> str:
    """The key of a step: equal for equal parts, of which none can be told from it."""
    return f'{kind} ' + digest_of('\0'.join(map(str, parts)).encode('utf-8', 'surrogateescape'))


class Stock(Exception):
    """This has to go the stock way; the text is the reason that is counted.

    `has_way`: from another host it can be run as stock would, but there.
    """

    def __init__(self, reason: str, has_way: bool = False) -> None:
        super().__init__(reason)
        self.has_way = has_way


class NoInterpreter(Exception):
    """The interpreter that a module wants does not become a context."""


class Refused(Exception):
    """The command that should have led to another account ended: (exit code, stdout, stderr)."""

    def answer(self, tty: bool) -> tuple[int, bytes, bytes]:
        """The same, as a terminal would tell it."""
        code, out, err = self.args
        return (code, (out + err).replace(b'\n', b'\r\n'), b'') if tty else (code, out, err)


class SshLogin:
    """A step to another host: ssh.

    `key` is equal for equal ways to log in, credentials included.  `spec` is what is run for a login with `remote` as
    the shell's line, by the host that `run` runs programs on, if that is another one, and a function to call after
    that; `failed` raises what stock would, or returns where the login itself went well.
    """

    # Is what the context takes for its home what the login's shell does?
    tells_home = True

    def __init__(self, connection: Any) -> None:
        try:
            self.command = Command(connection)
        except (AttributeError, TypeError, ValueError, IndexError) as e:
            raise Unknown(f'the stock ssh plugin is not as expected: {e!r}') from e
        self.key = key_of('ssh', *self.command.identity)

    def spec(self, remote: str, timeout: int, run: Any = None) -> tuple[dict[str, Any], Any]:
        if run and self.command.password:
            return self.command.from_terminal(remote, timeout), lambda: None
        spec, release = self.command.spec(remote, timeout)
        return (dict(spec, env={}, cwd=None) if run else spec), release  # those are of this machine

    def answer(self, said: bytes) -> bytes | None:
        """To the last of what it says on a terminal: a password, if that is asked for."""
        if not self.command.password or not PROMPT.search(said):
            return None
        return self.command.secret + b'\n'

    def run(self, line: str, data: bytes, run: Run) -> tuple[int, bytes, bytes]:
        """A shell's line, from another host, where no context can be."""
        code, out, err = run([*self.command.argv[:-1], line], data)
        if code == 255:
            self.command.fail(code, out, err, 0)
        return code, out, err

    def failed(self, error: CallError, retries_left: int) -> None:
        more: dict[str, Any] = getattr(error, 'more', {})
        if error.kind == 'exit' and more.get('rc') is not None:
            code = more['rc']
            if code == 255 or self.command.password_fd is not None:
                self.command.fail(code, more.get('out') or b'', more.get('err') or more.get('out') or b'', retries_left)
        elif error.kind == 'timeout':
            raise AnsibleConnectionFailure(f'{error.text} while waiting for the login to complete')


class LocalLogin:
    """A shell on the controller."""

    tells_home = True
    key = 'local'

    def __init__(self, connection: Any) -> None:
        pass

    def spec(self, remote: str, timeout: int, run: Any = None) -> tuple[dict[str, Any], Any]:
        return {'name': 'local', 'argv': ['/bin/sh', '-c', remote], 'timeout': timeout}, lambda: None

    def failed(self, error: CallError, retries_left: int) -> None:
        pass

    def answer(self, said: bytes) -> bytes | None:
        return None

    def run(self, line: str, data: bytes, run: Run) -> tuple[int, bytes, bytes]:
        return run(['/bin/sh', '-c', line], data)
