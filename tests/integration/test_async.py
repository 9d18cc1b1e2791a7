"""Tasks with `async` are jobs: no Python is started for them, and they outlive the link."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.integration.support.control import Control
from tests.integration.support.hosts import Hosts, silent, wait_for

pytestmark = pytest.mark.timeout(480)
SECONDS = 120
GATE = '/run/async-gate'
JOBS = '''
- shell: ps -o args= -p $PPID
  async: 60
  poll: 1
- shell: ps -o args= -p $PPID; id -un
  async: 60
  poll: 1
  become: true
  become_user: m_target
# The wrapper can't remove what belongs to the account that logged in; nor can the job.
- shell: rm -rf /var/tmp/ansible-tmp-*
'''
PLAY = f'''
- hosts: t1
  gather_facts: false
  tasks:
    - name: long
      shell: until [ -e {GATE} ]; do sleep 0.1; done; echo through
      async: 300
      poll: 1
    - name: next
      command: echo next
'''


def test_no_python_is_started(control: Control) -> None:
    done = control.tasks(JOBS, hosts='t1')
    assert done.code == 0, str(done)
    found = [record['result'] for record in done.records if record.get('result', {}).get('stdout')]
    assert [result['rc'] for result in found] == [0, 0]
    # The process of the module is a fork of a runner, which was started by a first stage.
    assert all('binascii' in result['stdout'] and 'AnsiballZ' not in result['stdout'] for result in found)
    assert found[1]['stdout_lines'][-1] == 'm_target'


@pytest.fixture
def gate(network: Hosts) -> Iterator[pathlib.Path]:
    gate = network.root('t1') / GATE.lstrip('/')
    yield gate
    gate.unlink(missing_ok=True)


def test_a_lost_link(control: Control, network: Hosts, gate: pathlib.Path) -> None:
    control.watch_only('t1')
    path = control.folder / 'async.yml'
    path.write_text(PLAY)
    variables = ('mitosis_alive_interval=1', 'mitosis_alive_timeout=4', 'ansible_ssh_timeout=3')
    run = control.start('ansible-playbook', path, '-vvvv', *[word for item in variables for word in ('-e', item)])

    def shown(text: str) -> bool:
        return wait_for(lambda: text in (control.folder / 'stdout').read_text(), SECONDS)
    assert shown('ASYNC POLL on t1'), run.wait(1)
    with silent(network, 't1'):
        assert shown('Exception during async poll'), run.wait(1)
        gate.touch()
    done = run.wait(SECONDS)
    assert done.code == 0, str(done)
    found = {record['task']: record for record in done.records if record['event'] != 'stats'}
    assert found['long']['result']['stdout'] == 'through'
    assert found['next']['event'] == 'ok'
