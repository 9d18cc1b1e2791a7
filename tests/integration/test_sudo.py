"""sudo in the forms that it has on real hosts: whose password it wants, what it shows, and what it says before."""

from __future__ import annotations

import pytest

from tests.integration.support.control import Control
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(200)

INVENTORY = '''
[accounts]
{hosts}
[accounts:vars]
ansible_ssh_private_key_file=/dev/null
ansible_ssh_common_args=-o UserKnownHostsFile={folder}/known_hosts -o GlobalKnownHostsFile=/dev/null
'''
# Account: whose password
ACCOUNTS = {'m_pw': 'm_pw', 'm_owner': 'root', 'm_stars': 'm_stars', 'm_lecture': 'm_lecture', 'm_tty': '',
            'm_nopw': '', 'm_plain': 'm_plain'}
PLAY = '''
- name: right
  command: id -un
  become: true
  ignore_errors: true
- name: again
  raw: id -un
  become: true
  ignore_errors: true
- name: wrong
  command: id -un
  become: true
  vars: {ansible_become_password: wrong}
  ignore_errors: true
- name: none
  command: id -un
  become: true
  vars: {ansible_become_password: ""}
  ignore_errors: true
'''


def outcome(control: Control, hosts: Hosts) -> dict[tuple[str, str], tuple[str, str]]:
    """(account, task) -> how it ended, and what it said."""
    lines = [f'{name} ansible_host={hosts.addresses["t1"]} ansible_user={name} ansible_password={name}-secret '
             f'ansible_become_password={f"{owner}-secret" if owner else ""}' for name, owner in ACCOUNTS.items()]
    control.add_inventory('accounts.ini', INVENTORY.format(hosts='\n'.join(lines), folder=hosts.folder))
    if control.way == 'connection':
        control.add_inventory('ours.ini', '[all:vars]\nansible_connection=mitosis.express.ssh\n')
    done = control.tasks(PLAY, hosts='accounts')
    found = {}
    for record in done.records:
        if record['event'] in ('ok', 'failed', 'unreachable'):
            result = record['result']
            said = result.get('stdout') or result.get('module_stdout') or result.get('msg') or ''
            if record['task'] == 'again':  # a lecture is no part of what ours says
                said = said.strip().rpartition('\n')[2]
            found[record['host'], record['task']] = record['event'], said.strip()
    assert len(found) == 4 * len(ACCOUNTS), str(done)
    return found


def test_sudo(network: Hosts, control: Control, stock: Control) -> None:
    expected, found = outcome(stock, network), outcome(control, network)
    # With pipelining stock has no terminal, which sudo wants here: see docs/differences.md.
    for name in ('right', 'wrong', 'none'):
        assert found['m_tty', name] == ('ok', 'root')
        del found['m_tty', name], expected['m_tty', name]
    assert found == expected
    for name in ('m_pw', 'm_owner', 'm_stars', 'm_lecture', 'm_nopw'):
        assert found[name, 'right'] == ('ok', 'root')
