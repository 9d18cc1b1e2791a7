"""Which programs are run with which words.  See support/scenarios.py."""

from __future__ import annotations

from tests.integration.support.scenarios import Scenario, Step

# docs/differences.md, as patterns of the lines that `differences` returns: for all scenarios.
EVERYWHERE = (
    r'ansible_env\.(SUDO_COMMAND|_): ',
    r'stderr(_lines)?(\[0\])?: \[?"Shared connection to \S+ closed',
    r'msg: ".*Data could not be sent to remote host .* \| .*Failed to connect to the host via ssh',
    # The login shell's own path, in its messages.
    r'"bash: line 1: .* \| .*"/bin/bash: line 1: ',
)
# And by the way in `connection`, which is one more name of a connection.
BY_CONNECTION = (
    r'_ansible_delegated_vars\.ansible_connection: ("ssh"|"\(missing\)") \| "mitosis\.express\.ssh"$',
)


def play(name: str, words: str = '', allowed: tuple[str, ...] = (), core: tuple[int, int] = (2, 16), **more: str) -> Scenario:
    """A scenario of one playbook."""
    return Scenario(name, (Step(f'{{keywords}}/{name}.yml {words}', **more),), allowed, core)  # type: ignore[arg-type]


SCENARIOS = (
    play('copies', '--vault-password-file {keywords}/vault-password'),
    play('templates'),
    play('scripts', '--vault-password-file {keywords}/vault-password'),
    play('archives'),
    play('includes'),
    play('metas', '--forks 1'),
    play('asyncs'),
    play('delegations'),
    play('turns', '--forks 1'),
    play('failures'),
)
