"""The way to a context, step by step: a login, an escalation, another interpreter, each a command of the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ...mitogen_core.controller import bootstrap
from ...mitogen_core.controller.client import Client
from ...mitogen_core.controller.log import one_line
from ...mitogen_core.wire.errors import CallError
from ._login import NoInterpreter, Refused, Stock

MOST_SAID = 1 << 10


class Step:
    """`key` is equal for equal steps; `connection` is that of the host that it belongs to."""

    # A step to another host?
    is_login = False
    # Of a host that lies on the way: its name in the inventory.
    hop = ''

    def __init__(self, connection: Any, key: str) -> None:
        self.connection, self.key = connection, key

    def spec(self, client: Client, boot: str, timeout: int) -> dict[str, Any]:
        """What the context before has to run."""
        raise NotImplementedError

    def limit(self, timeout: int) -> int:
        """Seconds that it may take, `timeout` of them for our code."""
        return timeout

    def hear(self, head: dict[str, Any], data: bytes) -> None:
        """What its command says."""

    def failed(self, error: CallError, retries_left: int) -> NoReturn:
        """Raise what stock would, at this end of its command."""
        raise NotImplementedError

    def end(self) -> None:
        """It was taken, or is given up."""


class Login(Step):
    is_login = True

    def __init__(self, connection: Any, from_here: bool) -> None:
        self.login = connection.login_type(connection)
        self._from_here = from_here
        self._release: Callable[[], None] = _nothing
        self._client: Client | None = None
        self._said = b''
        super().__init__(connection, self.login.key)

    def spec(self, client: Client, boot: str, timeout: int) -> dict[str, Any]:
        self.end()
        run = None if self._from_here else self.connection.runner_of_hop(client)
        self._client, self._said = client, b''
        spec, self._release = self.login.spec(boot, timeout, run)
        limit = self.connection.get_option('mitosis_max_interpreters')
        return dict(spec, most=int(limit), alive=[
            int(self.connection.get_option(f'mitosis_alive_{name}')) for name in ('interval', 'timeout')])

    def limit(self, timeout: int) -> int:
        return timeout + (int(self.connection.get_option('timeout')) if self.connection.transport == 'ssh' else 0)

    def hear(self, head: dict[str, Any], data: bytes) -> None:
        if self._client and head.get('stream') == 1 and not self._from_here:
            self._said = (self._said + data)[-MOST_SAID:]
            answer = self.login.answer(self._said)
            if answer:
                self._said = b''
                self._client.tell('contexts', 'input', {'token': head['token']}, answer)

    def failed(self, error: CallError, retries_left: int) -> NoReturn:
        if error.kind == 'no-python':
            raise Stock('without python', True)
        if self._from_here:
            self.login.failed(error, retries_left)
            raise Stock(f'no context ({error.text})')
        more: dict[str, Any] = getattr(error, 'more', {})
        said = one_line(b' '.join((more.get('out') or b'', more.get('err') or b'')))
        error.text = ': '.join([error.text, *([said] if said else [])])
        self.login.failed(error, retries_left)
        raise AnsibleConnectionFailure(error.text)

    def end(self) -> None:
        release, self._release = self._release, _nothing
        release()


class Escalation(Step):
    def __init__(self, connection: Any, become: Any) -> None:
        from ._become import Conversation
        self._become = become
        self._conversation: Any = None
        self._spec: dict[str, Any] = {}
        self._boot = b''
        super().__init__(connection, Conversation.key_of(become, connection._shell))

    def spec(self, client: Client, boot: str, timeout: int) -> dict[str, Any]:
        from ._become import Conversation
        self.end()
        self._conversation = Conversation(self.connection, client, self._become)
        self._spec, self._boot = self._conversation.spec(boot, timeout), boot.encode()
        return self._spec

    def limit(self, timeout: int) -> int:
        from ._become import seconds_for_a_word
        return timeout + seconds_for_a_word(self.connection)

    def hear(self, head: dict[str, Any], data: bytes) -> None:
        if self._conversation:
            self._conversation(head, data)

    def wants_tty(self, error: CallError) -> bool:
        return bool(self._conversation and self._conversation.wants_tty(error, self._spec))

    def failed(self, error: CallError, retries_left: int) -> NoReturn:
        more: dict[str, Any] = getattr(error, 'more', {})
        if self._conversation:
            self._conversation.failed(error)
        if error.kind == 'password':
            raise AnsibleError(error.text)
        if error.kind == 'no-python':
            raise Stock('without python', True)
        if error.kind == 'exit' and b'BECOME-SUCCESS-' not in more['out']:  # else it was no refusal
            # Some repeat what they refuse to run.
            raise Refused(more['rc'], *(more[stream].replace(self._boot, b'...') if self._boot else more[stream]
                                        for stream in ('out', 'err')))
        raise Stock(f'no context ({error.text})')

    def end(self) -> None:
        if self._conversation:
            self._conversation.restore()
            self._conversation = None


class Interpreter(Step):
    def __init__(self, connection: Any, path: str) -> None:
        self._path = path
        super().__init__(connection, 'python ' + path)

    def spec(self, client: Client, boot: str, timeout: int) -> dict[str, Any]:
        return {'name': self._path, 'interpreter': self._path, 'timeout': timeout,
                'argv': ['/bin/sh', '-c', 'exec ' + bootstrap.first_stage(self._path)]}

    def failed(self, error: CallError, retries_left: int) -> NoReturn:
        raise NoInterpreter(error.text)


def of_hop(step: Step, name: str, host: str, error: CallError, retries_left: int) -> NoReturn:
    """As `step.failed`, of a step to a host that lies on the way to `host`: that host is UNREACHABLE."""
    text = error.text
    try:
        step.failed(error, retries_left)
    except Stock:
        if error.kind == 'no-python':
            text = 'it has no Python'
    except Refused as e:
        text = one_line(e.args[1] + e.args[2]) or f'exit code {e.args[0]}'
    except (AnsibleError, NoInterpreter) as e:
        text = str(e)
    raise not_reached(host, name, text)


def not_reached(host: str, hop: str, why: str) -> AnsibleConnectionFailure:
    return AnsibleConnectionFailure(f'{host} is reached through {hop}, and {hop} was not reached: {why}')


def _nothing() -> None:
    pass
