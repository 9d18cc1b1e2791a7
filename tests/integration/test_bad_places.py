"""Full and read-only disks, and a closed stdin: modules need neither."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.support import report
from tests.integration.support.control import WAYS, Control, Core
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(360)

FOLDERS = '/tmp /var/tmp /dev/shm /root'
FULL = f'for f in {FOLDERS}; do mount -t tmpfs -o size=64k tmpfs $f; cat /dev/zero >$f/full 2>/dev/null; done; true'
READ_ONLY = f'for f in {FOLDERS}; do mount -t tmpfs -o ro tmpfs $f; done'
UNDO = f'for f in {FOLDERS}; do umount $f; done'
# Modules that write nothing, in all of the ways that modules are run.
PLAY = '''
- name: no disk needed
  block:
    - ping:
    - command: hostname
    - stat:
        path: /etc/hostname
    - command: id -un
      become: true
      become_user: m_target
    - setup:
        gather_subset: ['!all', min]
    - raw: echo raw
    - slurp:
        src: /etc/hostname
    - user:
        name: m_target
- name: disk needed
  copy:
    content: text
    dest: /etc/text
'''


@pytest.fixture(scope='module')
def places(network: Hosts) -> Iterator[Hosts]:
    """t3's disk is full, t4's read-only, where users and modules would write."""
    network.exec('t3', 'sh', '-c', FULL)
    network.exec('t4', 'sh', '-c', READ_ONLY)
    try:
        yield network
    finally:
        for name in ('t3', 't4'):
            network.exec(name, 'sh', '-c', UNDO)


@pytest.mark.parametrize('host', ['t3', 't4'], ids=['full', 'read-only'])
def test_bad_disk(places: Hosts, control: Control, host: str, core: Core, way: str) -> None:
    done = control.tasks(PLAY, hosts=host)
    events = {record['task']: record for record in done.records if record['host'] == host}
    failed = [record for record in done.records if record['event'] in ('failed', 'unreachable')]
    assert [record['task'] for record in failed] == ['disk needed'], str(done)
    assert len(events) == 9 and done.code == {'t3': 2, 't4': 4}[host], str(done)
    if (core, way) == (Core.all()[0], WAYS[0]):
        words = {'t3': 'A full', 't4': 'A read-only'}
        report.note('Disks', f'{words[host]} /tmp and home: modules run; `copy`, which needs the disk, says', failed[0]['result']['msg'], core.version)


def test_bad_stdin(control: Control) -> None:
    """Closed.  Now and then a worker of stock Ansible's dies of that, so it gets three tries."""
    for _ in range(3):
        argv = ['sh', '-c', 'exec "$@" <&-', 'sh', *control.argv('ansible', 't1', '-m', 'command', '-a', 'hostname')]
        done = subprocess.run(argv, env=control.environ(), capture_output=True, text=True, timeout=60, check=False)
        if 'A worker was found in a dead state' not in done.stderr:
            break
    assert (done.returncode, done.stdout) == (0, 't1 | CHANGED | rc=0 >>\nt1\n'), done.stderr
    assert re.fullmatch('(mitosis: 1 of 1 task runs accelerated\n)?', done.stderr)
