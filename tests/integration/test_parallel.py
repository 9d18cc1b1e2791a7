"""Tasks of many hosts that are delegated to one host and account run at the same time, as under stock Ansible."""

from __future__ import annotations

import pathlib

import pytest

from tests.integration.support.control import HERE, WAYS, Control, Core
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(600)

COUNT = 20
# Nobody leaves before all are there.  How long that takes is no matter; who waits for longer was left alone.
SECONDS = 60
MEET = ('cd /tmp/meeting-{kind} && touch {{{{ inventory_hostname }}}} && n=0 && '
        f'until [ $(ls | wc -l) -ge {COUNT} ]; do n=$((n + 1)); [ $n -lt {SECONDS * 5} ] || exit 9; sleep 0.2; done')
PLAY = f'''
- hosts: many
  gather_facts: false
  tasks:
    - file:
        path: /tmp/meeting-{{{{ item }}}}
        state: directory
        mode: "1777"
      loop: [inline, fork, raw, become]
      delegate_to: t1
      run_once: true
    - name: inline
      command: sh -c '{MEET.format(kind='inline')}'
      delegate_to: t1
      ignore_errors: true
    - name: fork
      kinds_meet:
        name: "{{{{ inventory_hostname }}}}"
        folder: /tmp/meeting-fork
        count: {COUNT}
        seconds: {SECONDS}
      delegate_to: t1
      ignore_errors: true
    - name: raw
      raw: {MEET.format(kind='raw')}
      delegate_to: t1
      ignore_errors: true
    - name: become
      command: sh -c '{MEET.format(kind='become')}'
      become: true
      become_user: m_target
      delegate_to: t1
      ignore_errors: true
    - shell: rm -rf /tmp/meeting-*
      delegate_to: t1
      run_once: true
'''


@pytest.mark.parametrize('means', ['stock', *WAYS])
def test_at_the_same_time(means: str, network: Hosts, tmp_path: pathlib.Path) -> None:
    """With one ansible-core only: what runs at the same time is not decided by it."""
    control = Control(Core.all()[0], means, network, tmp_path)
    control.add_inventory('many.ini', '[many]\n' + ''.join(f'many{number}\n' for number in range(COUNT)))
    path = tmp_path / 'play.yml'
    path.write_text(PLAY)
    env = {'ANSIBLE_FORKS': str(COUNT), 'ANSIBLE_LIBRARY': str(HERE / 'kinds' / 'library')}
    done = control.playbook(path, env=env, seconds=500)
    found = {(record['task'], record['host']): record['event'] for record in done.records
             if record['task'] in ('inline', 'fork', 'raw', 'become')}
    assert len(found) == 4 * COUNT, str(done)
    assert {key for key, event in found.items() if event != 'ok'} == set(), str(done)
    assert control.leftovers() == []
