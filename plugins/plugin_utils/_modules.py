"""Runs of Ansible modules in contexts, for a connection."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ...mitogen_core.controller.client import Client
from ...mitogen_core.wire.constants import FORWARD_MODULE, ROOT
from ...mitogen_core.wire.errors import CallError
from . import _accounts, _runtime
from ._compat import ansiballz
from ._isolation import isolation
from ._login import Stock
from ._news import News

# Modules of ansible-core's that action plugins ask first; they change nothing.
READING = ('ansible.modules.stat', 'ansible.modules.setup')


def run(connection: Any, client: Client, module: ansiballz.ModuleRun, become: Any) -> tuple[Any, bytes]:
    """The answer of a module run: head and bulk.  Raises NoInterpreter, Stock, AnsibleConnectionFailure."""
    payload = module.payload
    keys = connection._keys(become, module.interpreter)
    names, item = _accounts.named_by_module(payload), _runtime.item()
    if item and (names or module.job or not item.has_way(keys)):
        item.alone()
    _accounts.make_way(client, names, keys)
    args = {'payload': payload.key, 'chain': keys, 'layout': payload.layout, 'name': payload.name,
            'fqn': payload.fqn, 'profile': payload.profile,
            'date_time': list(payload.date_time), 'rlimit_nofile': payload.rlimit_nofile,
            'env': module.environment, 'interpreter': module.interpreter, 'cwd': connection._cwd(),
            'isolation': isolation(str(connection.get_option('mitosis_isolation')), payload)}
    if module.job:
        args.update(job=module.job, isolation='fork')
    for _ in range(4):
        if item and item.place:
            args.update(lane=list(item.place), tell=True)
        try:
            with connection.in_lane(client, args, payload.fqn not in READING), \
                    News(connection, on_sent=item and item.sent) as news:
                return client.call(ROOT, 'modules', 'run', dict(args, live=news.live and not module.job),
                                   payload.params.encode(), what=f'module {payload.fqn}', on_progress=news)
        except CallError as e:
            error = e
        if item and error.kind in ('need-context', 'need-code'):
            item.alone()
            args.pop('lane', None)
        # Out of its handler: Ansible would tell it as the cause of what follows.
        if error.kind == 'need-context':
            connection._context(client, become, module.interpreter)
        elif error.kind == 'need-code':
            _send_code(client, payload)
        elif error.kind == 'died':
            return {'rc': 137, 'out': 0}, error.text.encode()  # as if the module's interpreter had been killed
        else:
            raise AnsibleConnectionFailure(f'module {payload.fqn}: {error.text}')
    raise Stock('its code was not accepted')


def _send_code(client: Client, payload: ansiballz.Payload) -> None:
    closure = ansiballz.unzip(payload.zip_data)
    missing, _ = client.call(ROOT, 'modules', 'define', {
        'payload': payload.key, 'closure': closure.digest, 'digests': list(closure.files)}, closure.listing)
    for digest in missing:
        client.post(ROOT, FORWARD_MODULE, {'digest': digest}, closure.files[digest])
