"""Escalation by the real become plugin: its command around our bootstrap, its eyes on what the command says."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.utils.display import Display

from ...mitogen_core.controller.client import Client
from ...mitogen_core.wire.errors import CallError
from ._login import key_of

display = Display()
# Of a line that has no end yet: no prompt is longer.
MOST_REST = 512


def seconds_for_a_word(connection: Any) -> int:
    """How long stock waits for something that the become plugin knows."""
    if connection.transport == 'ssh':
        return 2 + int(connection.get_option('timeout'))
    if connection.has_option('become_success_timeout'):  # of `local`, from ansible-core 2.19 on
        return int(connection.get_option('become_success_timeout')) or 10
    return int(connection._play_context.timeout or 10)


class Conversation:
    """One attempt to become somebody.  Called with each piece of output, it answers prompts and notices refusals."""

    def __init__(self, connection: Any, client: Client, become: Any) -> None:
        self._connection, self._client, self._become = connection, client, become
        self._saved = dict(vars(become))
        self._rest = {1: b'', 2: b''}
        self._sent = self._escalated = False
        self._verdict = ''
        self._token = 0
        self._timeout = seconds_for_a_word(connection)

    @staticmethod
    def key_of(become: Any, shell: Any) -> str:
        """Equal for equal escalations, password included."""
        saved = dict(vars(become))
        become._mitosis_notes = None
        try:
            command = become.build_become_command('true', shell).replace(become._id, '')
        finally:
            vars(become).clear()
            vars(become).update(saved)
        return key_of(become.name, command, become.get_option('become_pass') or '')

    def spec(self, boot: str, timeout: int) -> dict[str, Any]:
        """What the login context has to run."""
        self._become._mitosis_notes = None
        command = self._become.build_become_command(boot, self._connection._shell)
        executable = self._connection._play_context.executable or '/bin/sh'
        user = self._become.get_option('become_user') or 'root'
        return {'name': f'{self._become.name} to {user}', 'argv': [*shlex.split(executable), '-c', command],
                'timeout': self._timeout + timeout, 'silence': self._timeout, 'cwd': self._connection._cwd(),
                # The attribute is ansible-core 2.19's: with it, stock gives the command a terminal.
                'tty': self._become.require_tty or not getattr(self._become, 'pipelining', True)}

    def restore(self) -> None:
        """Leave the plugin as it was: the stock way may need it."""
        vars(self._become).clear()
        vars(self._become).update(self._saved)

    def __call__(self, head: dict[str, Any], data: bytes) -> None:
        """on_progress of the request for the context."""
        stream = head.get('stream')
        if stream not in self._rest or 'token' not in head:
            return
        self._token = head['token']
        lines = (self._rest[stream] + data).splitlines(True)
        for line in lines:
            self._line(line)
        self._rest[stream] = lines[-1] if lines and not lines[-1].endswith(b'\n') and not self._prompted(lines[-1]) \
            else b''
        self._rest[stream] = self._rest[stream][-MOST_REST:]

    def _prompted(self, line: bytes) -> bool:
        return bool(self._become.expect_prompt() and self._become.check_password_prompt(line))

    def _line(self, line: bytes) -> None:
        become = self._become
        if self._escalated:
            return
        if self._prompted(line):
            if self._sent:
                self._abort(f'Incorrect {become.name} password')
                return
            self._sent = True
            password = become.get_option('become_pass', playcontext=self._connection._play_context)
            self._client.tell('contexts', 'input', {'token': self._token},
                              str(password).encode('utf-8', 'surrogateescape') + b'\n')
        elif become.success and become.check_success(line):
            self._escalated = True
            self._client.tell('contexts', 'escalated', {'token': self._token})
            display.vvv('Escalation succeeded', host=self._connection._play_context.remote_addr)
        elif become.check_incorrect_password(line):
            self._abort(f'Incorrect {become.name} password')
        elif become.check_missing_password(line):
            self._abort(f'Missing {become.name} password')

    def _abort(self, text: str) -> None:
        self._escalated = True
        self._verdict = text
        self._client.tell('contexts', 'abort', {'token': self._token, 'kind': 'password', 'text': text})

    def failed(self, error: CallError) -> None:
        """Raise what stock would raise."""
        if self._verdict:
            # Even if the command ended before it could be given up.
            raise AnsibleError(self._verdict) from None
        more: dict[str, Any] = getattr(error, 'more', {})
        if error.kind == 'timeout' and more.get('hop') and not self._escalated:
            out = (more.get('out') or b'').decode('utf-8', 'replace')
            raise AnsibleConnectionFailure(
                f'Timeout ({self._timeout}s) waiting for privilege escalation prompt: {out}') from None
        prompt = getattr(self._become, 'prompt', None)
        if prompt and isinstance(prompt, str):
            for stream in ('out', 'err'):
                more[stream] = (more.get(stream) or b'').replace(prompt.encode(), b'')

    @staticmethod
    def wants_tty(error: CallError, spec: dict[str, Any]) -> bool:
        """Did sudo's option requiretty end the command?  Then it gets a terminal, which a command of stock's has if it
        does not get its input through a pipeline."""
        if error.kind != 'exit' or spec['tty'] or b'you must have a tty' not in error.more['err']:  # type: ignore[attr-defined]
            return False
        spec['tty'] = True
        return True
