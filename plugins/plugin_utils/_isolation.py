"""Which modules may run inside an interpreter that others have used and will use."""

from __future__ import annotations

from ._compat.ansiballz import Payload

# Modules that only read and write files or run one command, and were seen to leave nothing behind in the interpreter
# that runs them.
INLINE = frozenset('ansible.modules.' + name for name in (
    'assemble', 'async_status', 'blockinfile', 'command', 'copy', 'file', 'find', 'lineinfile', 'ping', 'replace',
    'slurp', 'stat', 'tempfile'))


def isolation(wish: str, payload: Payload) -> str:
    """'inline' or 'fork' for a module run; `wish` is the option mitosis_isolation."""
    if wish != 'auto':
        return wish
    # A backup's name has the pid and the second: one process would not make two in a second.
    backup = '"backup": ' in payload.params and '"backup": false' not in payload.params
    return 'inline' if payload.fqn in INLINE and not backup else 'fork'
