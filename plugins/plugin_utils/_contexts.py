"""How a connection gets the context that a task wants."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from ansible import constants as C
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError

from ...mitogen_core.controller.client import Client
from ...mitogen_core.wire.constants import ROOT
from ...mitogen_core.wire.errors import CallError, ChannelError
from . import _runtime
from ._compat.callers import not_by_facts
from ._login import Run, Stock
from ._steps import Escalation, Interpreter, Login, Step, not_reached, of_hop

T = TypeVar('T')
# Seconds that a plugin's own look at its target may take, where that is made from another host.
LOOK_SECONDS = 60


class Begun:
    """A login that is under way: its step, and the handle of the answer."""

    def __init__(self, client: Client, step: Login, handle: int) -> None:
        self.client, self.step, self.handle = client, step, handle

    def forget(self) -> None:
        self.step.end()
        self.client.forget(self.handle)


class Contexts:
    """Mixin of connections; `login_type`: see _login.py."""

    login_type: Any
    _play_context: Any
    _shell: Any
    transport: str
    get_option: Any
    # Of the account that logs in.
    _home: str | None = None
    ways: dict[Any, Any] | None
    # All hosts, by name, with their variables.
    hosts: Any = None
    # Where it was made, of a task's connection: see _compat/callers.py.
    maker: Any = None
    # Passwords that were asked for on the command line.
    typed: dict[str, str] = {}
    # Of a host that is on somebody's way: its Python, where that is known.
    interpreter = ''
    # Hosts that lie behind this one, where it is on somebody's way, from the last one on.
    behind: tuple[str, ...] = ()
    _begun: Begun | None = None

    # the way

    def via(self) -> str:
        """The host that the connection starts from, if that is another one."""
        maker = self.maker
        if self.transport == 'local' and (self._name() in C.LOCALHOST or (
                maker and 'ansible_connection' not in maker.variables)):
            return ''  # variables of all hosts, or of one by a keyword's connection, are not meant for here
        if maker:
            not_by_facts('mitosis_via', maker.variables)
        name = str(self.get_option('mitosis_via') or '')
        # ansible-core up to 2.18 gives a reset_connection options as they are written.
        return maker.told('mitosis_via') if maker and '{{' in name else name

    def is_here(self) -> bool:
        """Is the target this machine and account?"""
        return self.transport == 'local' and not self.via()

    def _steps(self, become: Any, interpreter: str | None) -> list[Step]:
        steps = self._steps_of_hops()
        steps.append(Login(self, not steps))
        if become is not None:
            steps.append(Escalation(self, become))
        if interpreter:
            steps.append(Interpreter(self, interpreter))
        return steps

    def _steps_of_hops(self) -> list[Step]:
        """To the host that the connection starts from."""
        name = self.via()
        if not name:
            return []
        connection = _runtime.for_this_thread(('hop', name, *self._trail()), lambda: self._hop(name))
        steps: list[Step] = connection._steps(connection.become, None)
        for step in steps:
            step.hop = step.hop or name
        return steps

    def _trail(self) -> tuple[str, ...]:
        return self.behind or (self._name(),)

    def _name(self) -> str:
        delegated = self.maker.delegated if self.maker else ''
        return str(delegated or self.get_option('mitosis_name') or self._play_context.remote_addr)

    def _hop(self, name: str) -> Any:
        from ._hops import connection_to
        trail = self._trail()
        if name in trail:
            raise AnsibleError(f'mitosis_via leads in a circle: {" is reached through ".join([*trail, name])}')
        found = connection_to(self.hosts, name, trail[-1], self.typed)
        found.maker, found.hosts, found.typed, found.behind = None, self.hosts, self.typed, (*trail, name)
        return found

    def through_hop(self, client: Client, line: str, data: bytes) -> tuple[int, bytes, bytes]:
        """Run a command line on a host that no context can be on."""
        answer: tuple[int, bytes, bytes] = self.login_type(self).run(line, data, self.runner_of_hop(client, None))
        return answer

    def runner_of_hop(self, client: Client, seconds: int | None = LOOK_SECONDS) -> Run:
        """Runs programs on the host that the connection starts from, which is another one."""
        steps = self._steps_of_hops()

        def run(argv: list[str], data: bytes) -> tuple[int, bytes, bytes]:
            context = self._reach(client, steps, None)
            head, output = client.call(context, 'processes', 'exec', {'tty': False, 'cwd': None, 'argv': argv}, data,
                                       timeout=seconds, what=f'{argv[0]} on {self.via()}')
            return int(head['rc']), output[:head['out']], output[head['out']:]
        return run

    def _keys(self, become: Any, interpreter: str | None = None) -> list[str]:
        return self._while_acting(('keys', id(become), interpreter), lambda: [
            step.key for step in self._steps(become, interpreter)])

    def _context(self, client: Client, become: Any = None, interpreter: str | None = None) -> int:
        """The id of the context of an account and interpreter, which is started where it is missing."""
        return self._while_acting((client, id(become), interpreter),
                                  lambda: self._reach(client, self._steps(become, interpreter), interpreter))

    def _while_acting(self, what: Any, find: Callable[[], T]) -> T:
        """What is found, once while an action runs."""
        if self.ways is None:
            return find()
        if what not in self.ways:
            self.ways[what] = find()
        found: T = self.ways[what]
        return found

    # walking it

    def begin_login(self, client: Client, interpreter: str) -> None:
        """Have the login under way while it is made out what it is for.  Whoever needs it first waits for that one, and
        has its errors.

        Not with a password: where nobody turns out to want it, it would be tried for nothing, or be gone when it is
        asked for.
        """
        step, timeout = Login(self, True), int(self.get_option('mitosis_boot_timeout'))
        if step.login.command.password or not _runtime.is_new(step.key):
            return
        chain = [{'key': step.key, 'spec': step.spec(client, self._boot(interpreter), timeout), 'login': True}]
        self._begun = Begun(client, step, client.start(ROOT, 'contexts', 'get', {'chain': chain}))

    def forget_login(self) -> None:
        """Nobody waits for what was begun."""
        begun, self._begun = self._begun, None
        if begun:
            begun.forget()

    def _reach(self, client: Client, steps: list[Step], interpreter: str | None) -> int:
        """The id of the context that the steps lead to."""
        begun = self._begun
        if begun and begun.client is client and begun.step.key == steps[0].key:
            steps[0], self._begun = begun.step, None
        else:
            begun = None
        try:
            return self._try(client, steps, interpreter, begun.handle if begun else None)
        finally:
            for step in steps:
                step.end()

    def _try(self, client: Client, steps: list[Step], interpreter: str | None, begun: int | None) -> int:
        retries = int(self.get_option('reconnection_retries')) if self.transport == 'ssh' else 0
        attempt = 0
        while True:
            try:
                return self._walk(client, steps, interpreter, begun)
            except CallError as e:
                error, begun = e, None
            # Out of its handler: Ansible would tell it as the cause of what follows.
            try:
                self._raise_for(error, steps, retries - attempt)
            except AnsibleAuthenticationFailure:
                raise
            except AnsibleConnectionFailure:
                if attempt >= retries:
                    raise
                time.sleep(min(2 ** attempt - 1, 30))
            attempt += 1
            if attempt > retries + 3:
                raise ChannelError(error.text) from error

    def _raise_for(self, error: CallError, steps: list[Step], retries_left: int) -> None:
        """Returns where another attempt may go well."""
        if error.kind == 'retry':
            return
        step = steps[getattr(error, 'more', {}).get('hop') or 0]
        if step.hop:
            of_hop(step, step.hop, self._name(), error, retries_left)
        else:
            step.failed(error, retries_left)

    def _walk(self, client: Client, steps: list[Step], interpreter: str | None, begun: int | None) -> int:
        timeout = int(self.get_option('mitosis_boot_timeout'))
        chain: list[dict[str, Any]] = [{'key': step.key, 'spec': None, 'login': step.is_login} for step in steps]
        # The last resort: each step has its own.
        limit = 22 + sum(step.limit(timeout) for step in steps)

        def on_progress(head: dict[str, Any], data: bytes) -> None:
            steps[head.get('hop', 0)].hear(head, data)
        if begun is not None:
            client.wait(begun, 'a context', limit, on_progress)
        while True:
            try:
                value, _bulk = client.call(ROOT, 'contexts', 'get', {'chain': chain}, what='a context', timeout=limit,
                                           on_progress=on_progress)
                break
            except CallError as e:
                index = getattr(e, 'more', {}).get('hop') or 0
                step = steps[index]
                if e.kind == 'need-spec' and chain[index]['spec'] is None:
                    for hop, step in list(zip(chain, steps, strict=True))[index:]:
                        hop['spec'] = self._spec(step, client, interpreter, timeout)
                elif not (isinstance(step, Escalation) and step.wants_tty(e)):
                    raise
        if not steps[-1].hop:
            own = next(index for index, step in enumerate(steps) if not step.hop)
            self._home = str(value['hellos'][own]['home'])
        return int(value['ids'][-1])

    def _spec(self, step: Step, client: Client, interpreter: str | None, timeout: int) -> dict[str, Any]:
        if not step.hop:
            return step.spec(client, self._boot(interpreter), timeout)
        try:
            return step.spec(client, self._boot(step.connection.interpreter), timeout)
        except (AnsibleError, Stock) as e:
            raise not_reached(self._name(), step.hop, str(e)) from None

    @staticmethod
    def _boot(interpreter: str | None) -> str:
        from ...mitogen_core.controller import bootstrap
        first = (interpreter,) if interpreter and ' ' not in interpreter and '/' in interpreter else ()
        return bootstrap.boot_command((*first, *bootstrap.CANDIDATES))
