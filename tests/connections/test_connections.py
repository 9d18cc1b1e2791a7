"""contract.yml on each host of the inventories: stock, by strategy, and by connection alone.  All do the same, and ours
is accelerated."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.connections.runs import HERE, Place, Runs, counted, grouped, here, listed, pairs, parameters
from tests.integration.support.compare import differences
from tests.integration.support.control import ALL, Core, Finished

# ansible-core, way, which inventory, host
Case = tuple[Core, str, str, str]

# The first to wait waits for all runs of that ansible-core.
pytestmark = pytest.mark.timeout(2400)
SECONDS = 700.0
# Rows are real targets (see the tool `rows`), which real programs reach: they have a run without stand-ins.
ROWS = pathlib.Path(os.environ.get('MITOSIS_ROWS', '/nowhere'))
INVENTORIES = {'standins': HERE / 'standins.yml', 'rows': ROWS / 'inventory.yml'}
# Without MITOSIS_ALL: no large file, and of the stand-ins one of each kind.
FEW = {'kubectl', 'jail-user', 'ssmlike'}

# What may go the stock way: patterns of 'N reason'.
STOCK_WAY: list[str] = []
# Rows whose plugin fails at times, or at something, without us: only what is right under stock is compared.
STOCK_FAILS = {'lxc': 'Broken pipe, and much output is cut off', 'buildah': 'now and then a command says nothing'}
# What may differ: patterns of 'path: stock | ours'.
DIFFERENCES = [
    # systemd-nspawn says so at the end of each command, of which ours are few.
    r'Attempted to remove disk file system',
    # So do buildah, and sudo where no resolver knows the host.
    r'Error: exit status|sudo: unable to resolve host',
    # Where a command of buildah's said nothing, its folder is another one.
    r'\.src: "/ansible-tmp-',
    # lxc's plugin returns what waitpid says, of which the exit code is the higher byte.
    r'^c_(raw_fails|script_fails|root_raw)\.rc: (1280|768|1024) \| [345]$',
]


@functools.cache
def hosts(core: Core, kind: str) -> dict[str, dict[str, Any]]:
    """The hosts that can be reached here, with their variables."""
    if not INVENTORIES[kind].is_file():
        return {}
    wanted = grouped(core, kind, INVENTORIES[kind])
    if kind == 'standins' and not ALL:
        wanted &= FEW
    return {host: variables for host, variables in listed(core, INVENTORIES[kind]).items()
            if host in wanted and here(variables.get('ansible_connection', 'ssh'))
            and not (variables.get('standin_needs_root') and os.geteuid())}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if 'case' in metafunc.fixturenames:
        cases = [(core, way, kind, host) for core, way in pairs() for kind in INVENTORIES for host in hosts(core, kind)]
        metafunc.parametrize('case', cases, ids=['-'.join(map(str, case)) for case in cases])


def environment() -> dict[str, str]:
    """What those who reach rows have in their environment."""
    path = ROWS / 'environment'
    return dict(line.split('=', 1) for line in path.read_text().splitlines() if '=' in line) if path.is_file() else {}


class ContractRun:
    """A run of the contract, on all hosts that are asked for."""

    def __init__(self, core: Core, way: str, kind: str, folder: pathlib.Path, chosen: list[str]) -> None:
        place = Place(core, way, folder, INVENTORIES[kind], hosts(core, kind))
        self.out = folder / 'out'
        self.out.mkdir()
        extra: dict[str, Any] = {'out': str(self.out), 'large': ALL}
        if os.geteuid():
            # Behind stand-ins we are who we are here, and may become nobody.
            extra['contract_become'] = 'no-such-program'
        limit = ':'.join(['localhost', *chosen])
        more: dict[str, Any] = {'path': '{}', **environment()} if kind == 'rows' else {}
        if kind == 'rows' and way == 'stock':
            # As it is by default: not all of these plugins can.
            more['ANSIBLE_PIPELINING'] = 'false'
        self.finished: Finished = place.run(HERE / 'contract.yml', '--limit', limit, '-e', json.dumps(extra),
                                            seconds=SECONDS, **more)
        self.leftovers = place.control.leftovers()
        self.sessions = sorted(place.state.glob('instances/*/session.*'))

    def told(self, host: str) -> dict[str, Any]:
        path = self.out / f'{host}.json'
        assert path.exists(), f'{host} did not come to the end:\n{self.finished}'
        found = json.loads(path.read_text())
        assert isinstance(found, dict)
        return found

    def code(self, host: str) -> str:
        """How it ended for this host."""
        [stats] = [record['result'] for record in self.finished.records
                   if record['event'] == 'stats' and record['host'] == host]
        return f'{stats["failures"]} failed, {stats["unreachable"]} unreachable, {stats["ignored"]} ignored'

    def failed(self, host: str) -> str:
        """What was not right, for people."""
        return '\n'.join(f'{record["task"]}: {json.dumps(record["result"])[:1500]}' for record in self.finished.records
                         if record['host'] == host and record['event'] in ('failed', 'unreachable', 'item failed'))


class ContractRuns(Runs):
    """By ansible-core, way and inventory, for all hosts that somebody asks for."""

    def __init__(self, folder: pathlib.Path, wanted: dict[tuple[Core, str], set[str]]) -> None:
        super().__init__(folder)
        self._wanted = wanted

    def get(self, core: Core, way: str, kind: str) -> ContractRun:
        key = core.version, way, kind
        chosen = sorted(self._wanted.get((core, kind), hosts(core, kind)))
        found: ContractRun = self.once(
            key, lambda: ContractRun(core, way, kind, self.folder / '-'.join(key), chosen))
        return found


@pytest.fixture(scope='session')
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractRuns]:
    wanted: dict[tuple[Core, str], set[str]] = {}
    for params in parameters(request.session, __file__, 'case'):
        core, _, kind, host = params['case']
        wanted.setdefault((core, kind), set()).add(host)
    found = ContractRuns(tmp_path_factory.mktemp('connections'), wanted)
    yield found
    found.end()


def test_stock_keeps_the_contract(case: Case, runs: ContractRuns) -> None:
    """Else there is nothing to compare with."""
    core, _, kind, host = case
    run = runs.get(core, 'stock', kind)
    if kind == 'rows' and host in STOCK_FAILS and not run.code(host).startswith('0 failed, 0 unreachable'):
        pytest.skip(STOCK_FAILS[host])
    assert run.code(host).startswith('0 failed, 0 unreachable'), run.failed(host) or str(run.finished)
    assert len(run.told(host)) > 60


def test_same_results(case: Case, runs: ContractRuns) -> None:
    core, way, kind, host = case
    stock, ours = runs.get(core, 'stock', kind), runs.get(core, way, kind)
    fails = host in STOCK_FAILS and kind == 'rows' and stock.code(host) != ours.code(host)
    assert ours.code(host) == stock.code(host) or (fails and ours.code(host).startswith('0 failed, 0 unreachable')), \
        ours.failed(host) or str(ours.finished)
    one, two = stock.told(host), ours.told(host)
    if fails:
        right = [name for name, value in one.items() if "'failed': True" not in str(value)]
        one, two = ({name: each[name] for name in right} for each in (one, two))
    found = [line for line in differences(one, two) if not any(re.search(pattern, line) for pattern in DIFFERENCES)]
    assert not found, '\n'.join(found)


def test_accelerated(case: Case, runs: ContractRuns) -> None:
    """No task goes the stock way for its connection.  By connection alone nobody counts."""
    core, way, kind, host = case
    if way != 'strategy':
        pytest.skip('only strategies say how it went')
    fast, slow = counted(runs.get(core, way, kind).finished)
    connection = hosts(core, kind)[host].get('ansible_connection', 'ssh')
    assert fast and not [reason for reason in slow if f' {connection} connection' in reason], slow


@pytest.mark.parametrize('kind', INVENTORIES)
def test_all_accelerated(kind: str, runs: ContractRuns) -> None:
    """Nothing goes the stock way for another reason."""
    for core, way in pairs():
        if way == 'strategy' and hosts(core, kind):
            fast, slow = counted(runs.get(core, way, kind).finished)
            allowed = re.compile('|'.join([r' connection$', *STOCK_WAY]))
            assert fast and not [reason for reason in slow if not allowed.search(reason)], slow


@pytest.mark.parametrize('kind', INVENTORIES)
def test_nothing_is_left(kind: str, runs: ContractRuns) -> None:
    """No process, on either side; of files only what stock leaves too."""
    for core, way in pairs():
        if hosts(core, kind):
            stock, ours = runs.get(core, 'stock', kind), runs.get(core, way, kind)
            assert len(ours.leftovers) <= len(stock.leftovers), '\n'.join(ours.leftovers)
            assert not [line for line in ours.leftovers if line.startswith('process')], '\n'.join(ours.leftovers)
            assert not ours.sessions
