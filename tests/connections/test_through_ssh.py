"""Rows behind a host that is reached by ssh: what leads to them, and what plugins want to know first, runs there."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from tests.connections.runs import HERE, Place, counted, pairs
from tests.connections.test_connections import INVENTORIES, environment, hosts
from tests.integration.support.control import Core

pytestmark = pytest.mark.timeout(300)
TOOL = HERE.parent / 'hosts' / 'hosts'
# Whose programs find their target by the environment, which a login does not have.
NEEDS_ENVIRONMENT = {'lxd'}
TASKS = [
    {'name': 'where', 'command': 'hostname'},
    {'name': 'by ssh', 'raw': 'cat /proc/$PPID/environ | tr "\\0" "\\n" | grep -c SSH_CONNECTION || true'},
    {'copy': {'content': 'through', 'dest': '/tmp/through'}},
    {'name': 'content', 'slurp': {'src': '/tmp/through'}},
    {'file': {'path': '/tmp/through', 'state': 'absent'}},
    {'name': 'account', 'command': 'id -un', 'become': True, 'become_user': 'mit_user'},
]


@pytest.fixture(scope='module')
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """The inventory of an ssh host that is this machine."""
    folder = tmp_path_factory.mktemp('bastion')
    subprocess.run([TOOL, 'up', '1', '--mode', 'loopback', '--dir', folder], check=True, timeout=60,
                   stdin=subprocess.DEVNULL)
    yield folder / 'inventory.ini'
    subprocess.run([TOOL, 'down', '--dir', folder], check=True, timeout=60, stdin=subprocess.DEVNULL)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(('core', 'way'), pairs(), ids=['-'.join(map(str, pair)) for pair in pairs()])


def test_through_ssh(core: Core, way: str, bastion: pathlib.Path, tmp_path: pathlib.Path) -> None:
    rows = {name: variables for name, variables in hosts(core, 'rows').items() if name not in NEEDS_ENVIRONMENT}
    if not rows:
        pytest.skip('no rows are up: they need root')
    place = Place(core, way, tmp_path, INVENTORIES['rows'], rows)
    place.control.inventories.append(bastion)
    ours = {'ansible_connection': 'mitosis.express.ssh'} if way == 'connection' else {}
    place.control.add_inventory('via.yml', json.dumps({'all': {
        'hosts': {'t1': ours, **{name: {'mitosis_via': 't1'} for name in rows}}}}))
    playbook = tmp_path / 'through.yml'
    playbook.write_text(json.dumps([{'hosts': list(rows), 'gather_facts': False, 'tasks': TASKS}]))
    done = place.run(playbook, path='{}', seconds=200, **environment())
    assert done.code == 0, str(done)
    for name in rows:
        found = {record['task']: record['result'] for record in done.records if record.get('host') == name}
        assert found['content']['content'] == 'dGhyb3VnaA=='
        assert found['account']['stdout'] == 'mit_user'
        assert os.uname().nodename != found['where']['stdout'] or name == 'chroot'
    if way == 'strategy':
        assert counted(done) == (len(rows) * len(TASKS), [])
    assert not [line for line in place.control.leftovers() if line.startswith('process')]
