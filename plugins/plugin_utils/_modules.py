"""Runs of Ansible modules in contexts, for a connection."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ...mitogen_core.controller import content
from ...mitogen_core.controller.client import Client
from ...mitogen_core.controller.log import one_line
from ...mitogen_core.wire.constants import FORWARD_MODULE, ROOT
from ...mitogen_core.wire.errors import CallError, ChannelError
from . import _accounts, _runtime
from ._compat import ansiballz, prose
from ._guesses import Again
from ._isolation import isolation
from ._login import Stock
from ._news import News

# Modules of ansible-core's that action plugins ask first; they change nothing.
READING = ('ansible.modules.stat', 'ansible.modules.setup')
# Action plugins that go on after these; those that then write files here.
COMPARING = ('assemble', 'copy', 'unarchive')
WRITING_HERE = ('fetch',)


class Closure(content.Closure):
    """The files of a payload."""

    def deflated(self, digest: str) -> bytes:
        return content.deflate(prose.travelling(*self.files[digest]))


class _Passed(Exception):
    """The multiplexer has passed a request on."""


def _arguments(connection: Any, module: ansiballz.ModuleRun, keys: list[str]) -> dict[str, Any]:
    payload = module.payload
    args = {'payload': payload.key, 'chain': keys, 'layout': payload.layout, 'name': payload.name,
            'fqn': payload.fqn, 'profile': payload.profile, 'ends': payload.ends,
            'date_time': list(payload.date_time), 'rlimit_nofile': payload.rlimit_nofile,
            'env': module.environment, 'interpreter': module.interpreter, 'cwd': connection._cwd(),
            'isolation': isolation(str(connection.get_option('mitosis_isolation')), payload)}
    if module.job:
        args.update(job=module.job, isolation='fork')
    return args


def run(connection: Any, client: Client, module: ansiballz.ModuleRun, become: Any) -> tuple[Any, bytes]:
    """The answer of a module run: head and bulk.  Raises NoInterpreter, Stock, AnsibleConnectionFailure."""
    payload = module.payload
    keys = connection._keys(become, module.interpreter)
    names, item = _accounts.named_by_module(payload), _runtime.item()
    if item and (names or module.job or not item.has_way(keys)):
        item.alone()
    _accounts.make_way(client, names, keys)
    args, reads = _arguments(connection, module, keys), payload.fqn in READING
    on_sent = item and (item.passed if reads and connection.acting in COMPARING else item.sent)
    for _attempt in range(4):
        if item and item.has_way(keys):
            args.update({} if reads else item.terms, lane=list(item.lane), only=item.context, tell=True)
        try:
            with connection.in_lane(client, args, not reads), News(connection, on_sent=on_sent) as news:
                answer = client.call(ROOT, 'modules', 'run', dict(args, live=news.live and not module.job),
                                     payload.params.encode(), what=f'module {payload.fqn}', on_progress=news)
            if item and connection.acting in WRITING_HERE:
                item.turn()
            return answer
        except CallError as e:
            error = e
        if item and error.kind in ('need-context', 'need-code', 'stopped'):
            item.alone()
            for name in ('lane', 'only', *item.terms):
                args.pop(name, None)
            if error.kind == 'stopped':  # with the lane, by an item before
                continue
        # Out of its handler: Ansible would tell it as the cause of what follows.
        if error.kind == 'died':
            return _killed(error)
        _provide(connection, client, module, become, error)
    raise Stock('its code was not accepted')


def start(connection: Any, client: Client, module: ansiballz.ModuleRun, become: Any, terms: dict[str, Any]) -> int:
    """Send a module's run on `terms` (lane and the like); returns the handle of its answer: see answer_of."""
    args = _arguments(connection, module, connection._keys(become, module.interpreter))
    args.update(terms, tell=True, live=False)
    for _attempt in range(4):
        handle = client.start(ROOT, 'modules', 'run', args, module.payload.params.encode())
        error = _refusal(client, handle, f'module {module.payload.fqn}')
        if error is None:
            return handle
        if error.kind == 'need-context':
            raise Again  # it is another one by now
        _provide(connection, client, module, become, error)
    raise Stock('its code was not accepted')


def _refusal(client: Client, handle: int, what: str) -> CallError | None:
    """Why a request was not passed on to its context; None if it was."""
    try:
        client.wait(handle, what, on_progress=_passed)
    except _Passed:
        return None
    except CallError as e:
        return e
    raise ChannelError(f'{what} was answered before it was passed on')


def _passed(head: Any, data: bytes) -> None:
    if 'sent' in head:
        raise _Passed


def answer_of(client: Client, handle: int) -> tuple[Any, bytes]:
    """As `run`, of what `start` has sent."""
    try:
        return client.wait(handle, 'a module')
    except CallError as e:
        error = e
    if error.kind == 'died':
        return _killed(error)
    raise AnsibleConnectionFailure(f'a module: {one_line(error.text)}')


def _killed(error: CallError) -> tuple[Any, bytes]:
    """As if the module's interpreter had been killed."""
    return {'rc': 137, 'out': 0}, error.text.encode()


def _provide(connection: Any, client: Client, module: ansiballz.ModuleRun, become: Any, error: CallError) -> None:
    """Have what a run lacked."""
    if error.kind == 'need-context':
        connection.ways = None
        connection._context(client, become, module.interpreter)
    elif error.kind == 'need-code':
        _send_code(client, module.payload)
    else:
        raise AnsibleConnectionFailure(f'module {module.payload.fqn}: {one_line(error.text)}')


def _send_code(client: Client, payload: ansiballz.Payload) -> None:
    try:
        closure = Closure(ansiballz.unzip(payload.zip_data))
    except ValueError:
        raise Stock('module of an unknown form') from None
    missing, _bulk = client.call(ROOT, 'modules', 'define', {
        'payload': payload.key, 'closure': closure.digest, 'digests': list(closure.files)}, closure.listing)
    for digest in missing:
        client.post(ROOT, FORWARD_MODULE, {'digest': digest}, closure.deflated(digest))
