"""Passwords are in no command line, no environment, no output, no log, and in nothing that is left."""

from __future__ import annotations

import pathlib
import time

import pytest

from tests.integration.support.control import Control
from tests.integration.support.hosts import Hosts, all_pids

pytestmark = pytest.mark.timeout(480)

# By make-users: the password of an account is its name and this.
SECRETS = (b'm_pw-secret', b'm_plain-secret', b'argument-secret')
HOSTS = '''[targets]
sudo ansible_host={address} ansible_user=m_pw ansible_become_password=m_pw-secret
login ansible_host={address} ansible_user=m_plain ansible_password=m_plain-secret ansible_ssh_private_key_file=
hop ansible_host={address}
behind ansible_host={other} ansible_user=m_plain ansible_password=m_plain-secret mitosis_via=hop
behind ansible_ssh_common_args="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
never ansible_host={nobody} ansible_user=m_plain ansible_password=m_plain-secret ansible_ssh_retries=2
never ansible_ssh_args="-o ConnectTimeout=1"
[targets:vars]
ansible_ssh_extra_args=-o PreferredAuthentications=publickey,password
'''
PLAY = '''
- command: sleep 1.5
  become: "{{ inventory_hostname == 'sudo' }}"
- raw: sleep 1; id -un
  become: "{{ inventory_hostname == 'sudo' }}"
- copy:
    content: argument-secret
    dest: /tmp/{{ inventory_hostname }}
  no_log: true
  become: "{{ inventory_hostname == 'sudo' }}"
- file:
    path: /tmp/{{ inventory_hostname }}
    state: absent
  become: "{{ inventory_hostname == 'sudo' }}"
- command: cat
  args:
    stdin: argument-secret
  no_log: true
  async: 10
  poll: 1
'''


def seen() -> set[str]:
    """Secrets in what any process of this machine and its hosts shows of itself."""
    found = set()
    for pid in all_pids():
        for name in ('cmdline', 'environ'):
            try:
                text = pathlib.Path(f'/proc/{pid}/{name}').read_bytes()
            except OSError:
                continue
            found |= {f'{secret.decode()} in {name} of {text[:60]!r}' for secret in SECRETS if secret in text}
    return found


def shared_memory() -> set[str]:
    """Where ansible-core puts a password for ssh, from 2.19 on."""
    return {path.name for path in pathlib.Path('/dev/shm').glob('psm_*')}


def test_secrets(network: Hosts, control: Control, tmp_path: pathlib.Path) -> None:
    address, other = network.addresses['t1'], network.addresses['t2']
    control.add_inventory('secrets.ini', HOSTS.format(
        address=address, other=other, nobody=address.rpartition('.')[0] + '.200'))
    shared_before = shared_memory()
    path = tmp_path / 'play.yml'
    indented = ''.join(f'    {line}\n' for line in PLAY.strip().split('\n'))
    path.write_text(f'- hosts: sudo,login,behind,never\n  gather_facts: false\n  tasks:\n{indented}')
    log = tmp_path / 'log'
    run = control.start('ansible-playbook', path, '-vvvv', env={'MITOSIS_LOG': str(log)})
    found: set[str] = set()
    end = time.monotonic() + 90
    while run.process.poll() is None and time.monotonic() < end:
        found |= seen()
        time.sleep(0.02)
    done = run.wait(5)
    stats = {record['host']: record['result'] for record in done.records if record['event'] == 'stats'}
    assert [name for name, counts in stats.items() if counts['failures'] or counts['unreachable']] == ['never'], str(done)
    assert found == set()
    assert shared_memory() == shared_before
    for secret in SECRETS:
        assert secret.decode() not in done.text
        assert secret.decode() not in log.read_text()
    assert len(log.read_text().splitlines()) > 2
