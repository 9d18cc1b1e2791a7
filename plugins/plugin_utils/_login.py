"""The first hop of a chain, and what may go wrong on the way to a context."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ...mitogen_core.wire.errors import CallError
from ._compat import Unknown
from ._compat.ssh import Command


class Stock(Exception):
    """This has to go the stock way; the text is the reason that is counted."""


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
    the shell's line, and a function to call after that; `failed` raises what stock would, or returns where the login
    itself went well.
    """

    # Is what the context takes for its home what the login's shell does?
    tells_home = True

    def __init__(self, connection: Any) -> None:
        try:
            self.command = Command(connection)
        except (AttributeError, TypeError, ValueError, IndexError) as e:
            raise Unknown(f'the stock ssh plugin is not as expected: {e!r}') from e
        self.key = self.command.key

    def spec(self, remote: str, timeout: int, run: Any = None) -> tuple[dict[str, Any], Any]:
        return self.command.spec(remote, timeout)

    def failed(self, error: CallError, retries_left: int) -> None:
        more: dict[str, Any] = getattr(error, 'more', {})
        if error.kind == 'exit' and more.get('rc') is not None:
            code = more['rc']
            if code == 255 or self.command.password_fd is not None:
                self.command.fail(code, more.get('out') or b'', more.get('err') or b'', retries_left)
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
