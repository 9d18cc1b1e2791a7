"""Hosts that are reached through others: mitosis_via, to any depth, with any kind of connection on the way."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.support.control import Control, Finished
from tests.integration.support.hosts import Hosts, wait_for

pytestmark = pytest.mark.timeout(300)

# Of hosts on the way: what logs in from there.
KEYS = '/etc/mitosis-hop'
HOPS = ('t1', 't2', 't3')
NO_PYTHON = 't4'

INVENTORY = f'''
[here]
controller ansible_connection=local

[nested]
t2 mitosis_via=t1
t3 mitosis_via=t2
first ansible_host={{t1}} mitosis_via=controller
second ansible_host={{t2}} mitosis_via=first ansible_ssh_private_key_file={KEYS}/id

[nested:vars]
ansible_ssh_private_key_file={KEYS}/id
ansible_ssh_common_args=-o UserKnownHostsFile={KEYS}/known_hosts -o GlobalKnownHostsFile=/dev/null

[others]
first ansible_ssh_private_key_file={{folder}}/id
first ansible_ssh_common_args="-o UserKnownHostsFile={{folder}}/known_hosts -o GlobalKnownHostsFile=/dev/null"
escalated ansible_ssh_private_key_file={{folder}}/id
escalated ansible_ssh_common_args="-o UserKnownHostsFile={{folder}}/known_hosts -o GlobalKnownHostsFile=/dev/null"
escalated ansible_host={{t1}} ansible_user=m_nopw ansible_become=true
root ansible_connection=community.docker.nsenter ansible_nsenter_pid=1 mitosis_via=escalated
by_any ansible_connection=mitosis.express.any mitosis_connection=community.general.chroot mitosis_via=t1
by_any ansible_host=/ ansible_user=root
beyond ansible_host={{t2}} mitosis_via=by_any ansible_ssh_private_key_file={KEYS}/id
beyond ansible_ssh_common_args="-o UserKnownHostsFile={KEYS}/known_hosts -o GlobalKnownHostsFile=/dev/null"

[passwords]
once ansible_host={{t2}} mitosis_via=t1 ansible_user=m_pw ansible_password=m_pw-secret
twice ansible_host={{t3}} mitosis_via=once ansible_user=m_nopw ansible_password=m_nopw-secret
wrong ansible_host={{t3}} mitosis_via=t1 ansible_user=m_pw ansible_password=m_nopw-secret

[bad]
loop1 mitosis_via=loop2
loop2 mitosis_via=loop1
stranger mitosis_via=nobody
dead ansible_host={{nobody}} ansible_ssh_common_args="-o ConnectTimeout=1 -o StrictHostKeyChecking=no"
behind_dead mitosis_via=dead
refused ansible_host={{t1}} ansible_become=true ansible_become_user=nobody-here
behind_refused mitosis_via=refused
behind_no_python ansible_host={{t1}} mitosis_via=no_python
no_python ansible_host={{{NO_PYTHON}}} mitosis_via=t1 ansible_ssh_private_key_file={KEYS}/id
no_python ansible_ssh_common_args="-o UserKnownHostsFile={KEYS}/known_hosts"
turned_off ansible_host={{t2}} mitosis_via=t1 mitosis_enabled=false

[bad:vars]
ansible_ssh_private_key_file={{folder}}/id
ansible_ssh_common_args=-o UserKnownHostsFile={{folder}}/known_hosts -o GlobalKnownHostsFile=/dev/null

[passwords:vars]
ansible_ssh_private_key_file=/dev/null
ansible_ssh_common_args=-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
'''

BY_CONNECTION = {
    'local': 'mitosis.express.local',
    'community.docker.nsenter': 'mitosis.express.any mitosis_connection=community.docker.nsenter',
}
ALL_BY_CONNECTION = '[all:vars]\nansible_connection=mitosis.express.ssh\n'

WHERE = '''
- raw: hostname; id -un; echo ${{SSH_CONNECTION:-none}}
- name: where
  command: hostname
- copy:
    src: {big}
    dest: /var/tmp/hop-{{{{ inventory_hostname }}}}
  register: copied
- fetch:
    src: /var/tmp/hop-{{{{ inventory_hostname }}}}
    dest: {folder}/fetched
- file:
    path: /var/tmp/hop-{{{{ inventory_hostname }}}}
    state: absent
- command: id -un
  become: true
  become_user: m_target
- command: echo {{{{ item }}}}
  loop: [1, 2, 3]
- name: in a job
  command: hostname
  async: 30
  poll: 1
- meta: reset_connection
- name: where
  command: hostname
'''


@pytest.fixture
def hops(network: Hosts, control: Control) -> Iterator[Hosts]:
    """Hosts that can log in to each other."""
    for name in HOPS:
        folder = network.root(name) / KEYS[1:]
        folder.mkdir(exist_ok=True)
        for file in ('id', 'known_hosts'):
            (folder / file).write_bytes((network.folder / file).read_bytes())
            (folder / file).chmod(0o600)
    addresses = network.addresses
    inventory = INVENTORY.format(
        **addresses, folder=network.folder, nobody=addresses['t1'].rpartition('.')[0] + '.200')
    if control.way == 'connection':
        for name, ours in BY_CONNECTION.items():
            inventory = inventory.replace(f'ansible_connection={name}', f'ansible_connection={ours}')
        inventory += ALL_BY_CONNECTION
    control.add_inventory('hops.ini', inventory)
    yield network
    for name in HOPS:
        network.exec(name, 'rm', '-r', KEYS)


def of(done: Finished, name: str) -> list[Any]:
    """The results of a host's tasks."""
    return [record['result'] for record in done.records
            if record.get('host') == name and record['event'] in ('ok', 'failed', 'unreachable')]


def test_the_way(hops: Hosts, control: Control, tmp_path: pathlib.Path) -> None:
    big = tmp_path / 'big'
    big.write_bytes(os.urandom(300_000))
    done = control.tasks(WHERE.format(big=big, folder=tmp_path), hosts='t1,nested')
    assert done.code == 0, str(done)
    gateway = hops.addresses['t1'].rpartition('.')[0] + '.254'
    for name, host, before in (('t1', 't1', gateway), ('t2', 't2', hops.addresses['t1']),
                               ('t3', 't3', hops.addresses['t2']), ('first', 't1', gateway),
                               ('second', 't2', hops.addresses['t1'])):
        results = of(done, name)
        assert results[0]['stdout_lines'][:2] == [host, 'root'], str(done)
        assert results[0]['stdout_lines'][2].split()[0] == before
        assert results[5]['stdout'] == 'm_target'
        said = [(record['task'], record['result'].get('stdout')) for record in done.records
                if record['host'] == name and record['event'] == 'ok']
        assert [said.count((task, host)) for task in ('where', 'in a job')] == [2, 1], str(done)
        assert (tmp_path / 'fetched' / name / f'var/tmp/hop-{name}').read_bytes() == big.read_bytes()
    assert 'could not reset' not in done.text, str(done)
    if control.way == 'strategy':
        assert 'stock' not in done.err, str(done)


def test_kinds(hops: Hosts, control: Control) -> None:
    """ssh, sudo, then nsenter; ssh, then another plugin by its name."""
    done = control.tasks('''
- command: hostname
- command: id -un
- copy: {content: kinds, dest: /var/tmp/kinds}
- slurp: {src: /var/tmp/kinds}
- file: {path: /var/tmp/kinds, state: absent}
''', hosts='root,by_any,beyond', env={'ANSIBLE_FORKS': '1'})
    assert done.code == 0, str(done)
    for name, where in (('root', 't1'), ('by_any', 't1'), ('beyond', 't2')):
        results = of(done, name)
        assert [result['stdout'] for result in results[:2]] == [where, 'root'], str(done)
        assert results[3]['content'] == 'a2luZHM='
    if control.way == 'strategy':
        assert 'mitosis: 15 of 15 task runs accelerated' in done.err, str(done)


def test_jumps_of_ssh(hops: Hosts, control: Control) -> None:
    """What ssh itself can do on the way it does, with us too."""
    first = f'-i {hops.folder}/id -o UserKnownHostsFile={hops.folder}/known_hosts -l root'
    control.add_inventory('jump.ini', f'''
[jumps]
proxied ansible_host={hops.addresses["t2"]}
[jumps:vars]
ansible_ssh_private_key_file={hops.folder}/id
ansible_ssh_common_args=-o UserKnownHostsFile={hops.folder}/known_hosts -o ProxyCommand="ssh {first} -W %h:%p {hops.addresses["t1"]}"
''')
    done = control.tasks('- raw: echo $SSH_CONNECTION\n- ping:', hosts='proxied')
    assert done.code == 0, str(done)
    assert of(done, 'proxied')[0]['stdout'].split()[0] == hops.addresses['t1'], str(done)


def test_passwords(hops: Hosts, control: Control) -> None:
    done = control.tasks('''
- command: id -un
- raw: hostname
''', hosts='passwords')
    assert [result['stdout'].strip() for result in of(done, 'once')] == ['m_pw', 't2'], str(done)
    assert [result['stdout'].strip() for result in of(done, 'twice')] == ['m_nopw', 't3'], str(done)
    (wrong,) = of(done, 'wrong')
    assert wrong['unreachable'] and 'Permission denied' in wrong['msg'], str(done)


def test_whose_password(hops: Hosts, control: Control, tmp_path: pathlib.Path) -> None:
    """One of the command line is for hops too, whatever else is secret; one of a host's own is for no other."""
    typed = tmp_path / 'typed'
    typed.write_text('m_pw-secret')
    control.add_inventory('typed.ini', f'''
[typed]
gate ansible_host={hops.addresses["t1"]} ansible_user=m_pw
inside ansible_host={hops.addresses["t2"]} ansible_user=m_pw mitosis_via=gate ansible_become_password=other
shut ansible_host={hops.addresses["t1"]} ansible_user=m_pw
own ansible_host={hops.addresses["t2"]} ansible_user=m_pw mitosis_via=shut ansible_password=m_pw-secret
[typed:vars]
ansible_ssh_private_key_file=/dev/null
ansible_ssh_common_args=-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
''')
    env = {'ANSIBLE_HOST_KEY_CHECKING': 'false'}
    done = control.tasks('- command: id -un', '--connection-password-file', typed, hosts='inside', env=env)
    assert [result['stdout'] for result in of(done, 'inside')] == ['m_pw'], str(done)
    done = control.tasks('- command: id -un', hosts='own', env=env)
    (result,) = of(done, 'own')
    assert result['unreachable'] and 'shut was not reached' in result['msg'] and 'denied' in result['msg'], str(done)


def test_bad_ways(hops: Hosts, control: Control) -> None:
    """What is wrong is named; the others go on."""
    hops.exec(NO_PYTHON, 'sh', '-c', 'mkdir /usr/bin/aside; mv /usr/bin/python3* /usr/bin/aside')
    try:
        done = control.tasks('''
- raw: hostname
- ping:
''', hosts='t1,bad')
    finally:
        hops.exec(NO_PYTHON, 'sh', '-c', 'mv /usr/bin/aside/* /usr/bin; rmdir /usr/bin/aside')
    said = {name: of(done, name)[-1] for name in (
        't1', 'loop1', 'loop2', 'stranger', 'behind_dead', 'behind_refused', 'behind_no_python', 'no_python',
        'turned_off')}
    assert said['t1'].get('ping') == 'pong', str(done)
    assert 'loop1 is reached through loop2 is reached through loop1' in said['loop1']['msg']
    assert 'loop2 is reached through loop1 is reached through loop2' in said['loop2']['msg']
    assert 'stranger is to be reached through nobody (mitosis_via), which is not in ' in said['stranger']['msg']
    assert said['behind_dead']['unreachable'] and 'dead was not reached: ' in said['behind_dead']['msg']
    assert 'refused was not reached: sudo: unknown user' in said['behind_refused']['msg']
    assert 'no_python was not reached: it has no Python' in said['behind_no_python']['msg']
    assert 'for which stock Ansible has no way (turned off)' in said['turned_off']['msg']
    assert all(said[name]['unreachable'] for name in ('behind_refused', 'behind_no_python', 'turned_off'))
    # A host without Python can be worked on as always.
    assert of(done, 'no_python')[0]['stdout'].strip() == NO_PYTHON
    assert said['no_python']['rc'] == 127 and 'not found' in str(said['no_python'])


def test_a_lost_hop(hops: Hosts, control: Control, tmp_path: pathlib.Path) -> None:
    """Exactly those behind it are lost."""
    play = tmp_path / 'lost.yml'
    play.write_text('''
- hosts: t2,t3,t4
  gather_facts: false
  tasks:
    - command: sleep 47
    - command: hostname
''')
    run = control.start('ansible-playbook', play, env={'ANSIBLE_FORKS': '5'})
    try:
        sleeping = [name for name in ('t2', 't3', 't4')
                    if wait_for(lambda name=name: bool(hops.pids(name, 'sleep 47')), 60)]
        assert sleeping == ['t2', 't3', 't4']
        # Between t1 and t2: t3 hangs on it, too.
        for pid in hops.pids('t1', 'ssh'):
            os.kill(pid, signal.SIGKILL)
        for pid in hops.pids('t4', 'sleep 47'):
            os.kill(pid, signal.SIGTERM)
    finally:
        done = run.wait(120)
    lost = {name: of(done, name)[-1] for name in ('t2', 't3')}
    assert all(result.get('unreachable') for result in lost.values()), str(done)
    assert 'ssh to' in lost['t3']['msg'] and f'through ssh to {hops.addresses["t2"]}' in lost['t3']['msg'], str(done)
    assert of(done, 't4')[0]['rc'] == -15, str(done)


ODD = '''
- hosts: localhost
  gather_facts: false
  tasks:
    - name: localhost
      command: hostname
- hosts: t1
  gather_facts: false
  tasks:
    - name: delegated
      command: hostname
      delegate_to: t2
    - name: delegated to localhost
      command: hostname
      delegate_to: localhost
- hosts: beside
  gather_facts: false
  tasks:
    - name: beside
      command: pwd
- hosts: t2,stranger
  gather_facts: false
  tasks:
    - meta: reset_connection
      ignore_errors: true
    - name: after
      command: hostname
- hosts: turning
  gather_facts: false
  tasks:
    - name: by item
      command: hostname
      loop: [t1, t2, t1]
      vars: {gw: "{{ item }}"}
- hosts: t1
  gather_facts: false
  tasks:
    - name: delegated by a template
      command: hostname
      delegate_to: turning
      vars: {gw: t3}
- hosts: t3,t2
  gather_facts: false
  tasks:
    - set_fact:
        mitosis_via: "{{ 't4' if inventory_hostname == 't3' else '' }}"
        cacheable: true
    - name: by facts
      command: hostname
'''


def test_odd_ways(hops: Hosts, control: Control, tmp_path: pathlib.Path) -> None:
    """What is said for all hosts is not for localhost; delegation from a hop to behind it; no host chooses its way."""
    beside = 'mitosis.express.local' if control.way == 'connection' else 'local'
    control.add_inventory('odd.ini', f'[odd]\nbeside ansible_connection={beside}\n'
                                     f'turning ansible_connection={beside} mitosis_via="{{{{ gw }}}}"\n'
                                     't1 mitosis_via=\nt4 mitosis_via=\n'
                                     '[all:vars]\nmitosis_via=t1\n')
    play = tmp_path / 'odd.yml'
    play.write_text(ODD)
    extra = ['-e', 'ansible_python_interpreter=/usr/bin/python3']
    done = control.playbook(play, *extra)
    said = {(record['host'], record['task']): record['result'] for record in done.records if record.get('host')}
    here = os.uname().nodename
    assert said['localhost', 'localhost']['stdout'] == here, str(done)
    assert said['t1', 'delegated']['stdout'] == 't2', str(done)
    assert said['t1', 'delegated to localhost']['stdout'] == here, str(done)
    assert said['beside', 'beside']['rc'] == 0 and said['beside', 'beside']['stdout'] != str(tmp_path), str(done)
    assert said['t2', 'after']['stdout'] == 't2', str(done)
    assert 'which is not in the inventory' in said['stranger', 'after']['msg'], str(done)
    for name in ('t3', 't2'):
        assert 'mitosis_via comes from facts' in said[name, 'by facts']['msg'], str(done)
    assert [item['stdout'] for item in said['turning', 'by item']['results']] == ['t1', 't2', 't1'], str(done)
    assert said['t1', 'delegated by a template']['stdout'] == 't3', str(done)
