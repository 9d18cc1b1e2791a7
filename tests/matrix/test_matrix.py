"""The same short play with each supported pair of a controller and a target's Python, stock and ours."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from tests.integration.support.compare import aligned, by_host
from tests.integration.support.control import WAYS, Control, Core, Finished
from tests.integration.support.hosts import Hosts
from tests.integration.test_contract import allowed
from tests.support.interpreters import Interpreter

PLAYBOOK = pathlib.Path(__file__).parent / 'playbook' / 'site.yml'
TASKS = 24


def reachable(hosts: Hosts, python: str) -> None:
    """Let all accounts of the host run a Python that may lie in somebody's home."""
    for folder in reversed(pathlib.Path(python).parents):
        hosts.exec('t1', 'chmod', 'o+x', str(folder))


@pytest.mark.timeout(900)
def test_same_results(core: Core, target: Interpreter, hosts: Hosts,
                      tmp_path_factory: pytest.TempPathFactory, record_property: Callable[[str, object], None]) -> None:
    record_property('controller', core.name)
    record_property('target', str(target))
    folder = tmp_path_factory.mktemp('m')  # short: ansible-core 2.21 has a socket below it
    reachable(hosts, target.path)
    network = hosts.addresses['t1'].rpartition('.')[0]
    runs: dict[str, Finished] = {}
    for way in ('stock', *WAYS):
        control = Control(core, way, hosts, folder / way)
        control.watch_only('t1')
        hosts.exec('t1', 'rm', '-rf', '/home/m_target/.ansible')  # a module warns where it has to make that
        runs[way] = control.playbook(PLAYBOOK, '-e', f'ansible_python_interpreter={target.path}')
        assert control.leftovers() == [] or way == 'stock'
    records = {way: by_host(runs[way].records, [(str(folder / way), 'FOLDER'), (network, 'NETWORK')])
               for way in runs}
    stock = records['stock']
    assert len(stock['t1']) > TASKS, str(runs['stock'])
    assert [record['event'] for record in stock['t1']].count('failed') == 4, str(runs['stock'])
    for way in WAYS:
        assert records[way].get('t1'), str(runs[way])
        found = [line for line in aligned(stock['t1'], records[way].get('t1', [])) if not allowed(f't1: {line}')]
        assert not found, way + '\n' + '\n'.join(found)
        if way == 'strategy':
            assert ' stock: ' not in runs[way].err, runs[way].err
