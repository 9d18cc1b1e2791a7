"""Tasks that change accounts: the contexts of these accounts end first.

Under stock Ansible nothing of an account that was become lives on between tasks.  A context does, and would keep
userdel and usermod from their work, or go on without a group that the account has got since.
"""

from __future__ import annotations

import json
import re

from ansible.utils.display import Display

from ...mitogen_core.controller.client import Client, WaitError
from ...mitogen_core.wire.constants import ROOT
from ...mitogen_core.wire.errors import CallError
from ._compat.ansiballz import Payload

display = Display()

# Programs that change accounts; which one is among the words of their command line.
TOOLS = re.compile(r'\b(?:user(?:mod|del)|(?:del|add)(?:user|group)|gpasswd|group(?:mod|del|mems)|pw|pkill|killall)\b')
RELEASE_SECONDS = 30


def named_by_module(payload: Payload) -> list[str]:
    """The accounts that a module run may change."""
    if payload.fqn not in ('ansible.modules.user', 'ansible.modules.command'):
        return []
    try:
        args = json.loads(payload.params)['ANSIBLE_MODULE_ARGS']
        if payload.fqn == 'ansible.modules.user':
            return [str(args.get('name') or args['user'])]
        return named_by_command(' '.join([str(args.get('_raw_params') or ''), *map(str, args.get('argv') or ())]))
    except (ValueError, LookupError, TypeError, AttributeError):
        return []


def named_by_command(line: str) -> list[str]:
    """The words of a command line, if it may change accounts."""
    return sorted(set(re.findall(r'[\w.@-]+', line))) if TOOLS.search(line) else []


def make_way(client: Client, names: list[str], chain: list[str]) -> None:
    """End the contexts of these accounts on the host that `chain` (keys) leads to, but for those on the way."""
    if not names:
        return
    try:
        client.call(ROOT, 'contexts', 'release', {'users': names, 'keep': chain}, timeout=RELEASE_SECONDS,
                    what='the end of contexts whose accounts are about to change')
    except (CallError, WaitError) as e:
        # The task itself will say what it finds in its way.
        display.vvv(f'MITOSIS: {e}')
