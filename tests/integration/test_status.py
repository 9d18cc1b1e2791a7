"""The module `mitosis.express.status`, in a play: before anything is accelerated, and after."""

from __future__ import annotations

import re

import pytest

from tests.integration.support.control import Control

pytestmark = pytest.mark.timeout(300)
PLAY = '''
- mitosis.express.status:
- command: id -un
- command: id -un
  become: true
  become_user: m_target
- mitosis.express.status:
  check_mode: true
'''


def test_a_play(control: Control):
    done = control.tasks(PLAY, hosts='t1:t2')
    assert done.code == 0, done
    first, last = (record['result'] for record in done.records if 'running' in record.get('result', {}))
    if control.way == 'connection':
        assert first == dict(first, running=False, lines=[], tree={}, changed=False)
    assert last['running'] and not last['changed']
    contexts = last['tree']['contexts']
    assert sorted(context['user'] for context in contexts) == ['m_target', 'm_target', 'root', 'root']
    assert all('error' not in context['status'] for context in contexts)
    assert last['lines'][0].startswith('multiplexer, pid ')
    assert sum('m_target@' in line for line in last['lines']) == 2


def test_ansibles_own_log(control: Control):
    path = control.folder / 'ansible.log'
    done = control.tasks('- command: id -un', env={'ANSIBLE_LOG_PATH': str(path)})
    assert done.code == 0, done
    lines = path.read_text().splitlines()
    assert any(re.fullmatch(r'\S+ \S+ p=\d+ u=\S+ n=mitogen INFO\| multiplexer: \S+ is ready: root@t1, pid \d+', line)
               for line in lines), lines
    assert 'mitogen' not in done.text
