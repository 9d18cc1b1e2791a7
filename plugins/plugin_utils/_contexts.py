"""How a connection gets the context that a task wants."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError

from ...mitogen_core.controller.client import Client
from ...mitogen_core.wire.constants import ROOT
from ...mitogen_core.wire.errors import CallError, ChannelError
from ._login import NoInterpreter, Refused, Stock

T = TypeVar('T')


class Contexts:
    """Mixin of connections; `login_type`: see _login.py."""

    login_type: Any
    _shell: Any
    transport: str
    get_option: Any
    _home: str | None
    ways: dict[Any, Any] | None

    def _chain(self, become: Any, interpreter: str | None, login: Any) -> list[dict[str, Any]]:
        chain: list[dict[str, Any]] = [{'key': login.key, 'spec': None}]
        if become is not None:
            from ._become import Conversation
            chain.append({'key': Conversation.key_of(become, self._shell), 'spec': None})
        if interpreter:
            chain.append({'key': 'python ' + interpreter, 'spec': None})
        return chain

    def _keys(self, become: Any, interpreter: str | None = None) -> list[str]:
        return self._while_acting(('keys', id(become), interpreter), lambda: [
            hop['key'] for hop in self._chain(become, interpreter, self.login_type(self))])

    def _context(self, client: Client, become: Any = None, interpreter: str | None = None) -> int:
        """The id of the context of an account and interpreter, which is started where it is missing."""
        return self._while_acting((client, id(become), interpreter),
                                  lambda: self._get_or_start(client, become, interpreter))

    def _while_acting(self, what: Any, find: Callable[[], T]) -> T:
        """What is found, once while an action runs."""
        if self.ways is None:
            return find()
        if what not in self.ways:
            self.ways[what] = find()
        found: T = self.ways[what]
        return found

    def _get_or_start(self, client: Client, become: Any, interpreter: str | None) -> int:
        login = self.login_type(self)
        retries = int(self.get_option('reconnection_retries')) if self.transport == 'ssh' else 0
        chain = self._chain(become, interpreter, login)
        attempt = 0
        while True:
            try:
                return self._get(client, login, chain, become, interpreter)
            except CallError as e:
                error = e
            # Out of its handler: Ansible would tell it as the cause of what follows.
            try:
                self._raise_for(error, login, become, retries - attempt)
            except AnsibleAuthenticationFailure:
                raise
            except AnsibleConnectionFailure:
                if attempt >= retries:
                    raise
                time.sleep(min(2 ** attempt - 1, 30))
            attempt += 1
            if attempt > retries + 3:
                raise ChannelError(error.text) from error

    def _raise_for(self, error: CallError, login: Any, become: Any, retries_left: int) -> None:
        """Returns where another attempt may go well."""
        if error.kind == 'retry':
            return
        more: dict[str, Any] = getattr(error, 'more', {})
        if error.kind == 'password':
            raise AnsibleError(error.text)
        if more.get('hop', 0) > (become is not None):
            raise NoInterpreter(error.text)
        if error.kind == 'no-python':
            raise Stock('without python')
        if not more.get('hop'):
            login.failed(error, retries_left)
        elif error.kind == 'exit' and b'BECOME-SUCCESS-' not in more['out']:  # else it was no refusal
            raise Refused(more['rc'], more['out'], more['err'])
        raise Stock(f'no context ({error.text})')

    def _get(self, client: Client, login: Any, chain: list[dict[str, Any]], become: Any,
             interpreter: str | None) -> int:
        conversation = None
        release: Callable[[], None] = _nothing
        timeout = int(self.get_option('mitosis_boot_timeout'))
        # The last resort: each hop has its own, and an escalation may be waited for besides.
        limit = timeout * len(chain) + 22 + (int(self.get_option('timeout')) if self.transport == 'ssh' else 0)
        try:
            while True:
                try:
                    value, _ = client.call(ROOT, 'contexts', 'get', {'chain': chain}, what='a context',
                                           timeout=limit, on_progress=conversation)
                except CallError as e:
                    if e.kind == 'need-spec' and chain[0]['spec'] is None:
                        spec, release = login.spec(self._boot(interpreter), timeout)
                        chain[0]['spec'] = dict(spec, alive=[
                            int(self.get_option(f'mitosis_alive_{name}')) for name in ('interval', 'timeout')])
                        if become is not None:
                            from ._become import Conversation
                            conversation = Conversation(self, client, become)
                            chain[1]['spec'] = conversation.spec(self._boot(interpreter), timeout)
                        if interpreter:
                            chain[-1]['spec'] = self._interpreter_spec(interpreter, timeout)
                        continue
                    if conversation is not None:
                        if conversation.wants_tty(e, chain[1]['spec']):
                            continue
                        conversation.failed(e)
                    raise
                self._home = str(value['hellos'][0]['home'])
                return int(value['ids'][-1])
        finally:
            release()
            if conversation is not None:
                conversation.restore()

    @staticmethod
    def _boot(interpreter: str | None) -> str:
        from ...mitogen_core.controller import bootstrap
        first = (interpreter,) if interpreter and ' ' not in interpreter and '/' in interpreter else ()
        return bootstrap.boot_command((*first, *bootstrap.CANDIDATES))

    @staticmethod
    def _interpreter_spec(interpreter: str, timeout: int) -> dict[str, Any]:
        from ...mitogen_core.controller import bootstrap
        return {'name': interpreter, 'interpreter': interpreter, 'timeout': timeout,
                'argv': ['/bin/sh', '-c', 'exec ' + bootstrap.first_stage(interpreter)]}


def _nothing() -> None:
    pass
