"""Full and read-only disks, and a closed stdin: modules need neither."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.support import report
from tests.integration.support.control import WAYS, Control, Core
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(120)

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
    assert len(events) == 9 and done.code == 2, str(done)
    if (core, way) == (Core.all()[0], WAYS[0]):
        words = {'t3': 'A full', 't4': 'A read-only'}
        report.note('Disks', f'{words[host]} /tmp and home: modules run; `copy`, which needs the disk, says', failed[0]['result']['msg'], core.version)


def test_bad_stdin(control: Control, stock: Control, core: Core, way: str) -> None:
    """Closed: whatever stock Ansible makes of that, and nothing else."""
    found = []
    for one in (stock, control):
        argv = ['sh', '-c', 'exec "$@" <&-', 'sh', *one.argv('ansible', 't1', '-m', 'command', '-a', 'hostname')]
        done = subprocess.run(argv, env=one.environ(), capture_output=True, text=True, timeout=60, check=False)
        found.append((done.returncode, done.stdout, done.stderr if one is stock else re.sub(r'^mitosis: .*\n', '', done.stderr)))
    assert found[0] == found[1]
