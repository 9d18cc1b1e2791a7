"""The module `mitosis.express.status`, in a play: before anything is accelerated, and after."""

from __future__ import annotations

import pstats
import re

import pytest

from mitogen_core.controller import profile
from tests.integration.support.control import Control
from tests.integration.support.hosts import wait_for

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


def test_profiles(control: Control):
    """One of each process of ours, workers included; nothing in the output."""
    folder = control.folder / 'profiles'
    done = control.tasks('- command: id -un\n  loop: [a, b]', env={'MITOSIS_PROFILE': str(folder)})
    assert done.code == 0, done
    assert 'rofile' not in done.text
    # The multiplexer outlives the run for a moment.
    assert wait_for(lambda: {path.name.partition('-')[0] for path in folder.iterdir()} == set(profile.ROLES), 30)
    [worker] = folder.glob('worker-*')
    assert any(name == 'exec_command' for _, _, name in pstats.Stats(str(worker)).stats)
