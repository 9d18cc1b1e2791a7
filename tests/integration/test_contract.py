"""The playbooks contract/ and kinds/, run stock and ours: all results are the same, but for what docs/differences.md lists."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.support.compare import aligned, by_host, normal
from tests.integration.support.control import ALL, Core, pairs
from tests.integration.support.hosts import Hosts
from tests.integration.support.suites import SUITES, Runs, Suite

Case = tuple[Suite, Core, str]

# The first to wait waits for runs beside which all others run.
pytestmark = pytest.mark.timeout(1800)

# docs/differences.md, as patterns of the lines that `aligned` reports: 'task (event): path: stock | ours'.
DIFFERENCES = [
    # No ssh client has a terminal of its own to speak of.
    r'\.?stderr(_lines)?: \["?"?Shared connection to \S+ closed\.',
    r'stderr(_lines)?: "Shared connection to \S+ closed',
    # What a shell leaves in the environment, and what sudo is told to run.
    r'ansible_env\._: ',
    r'^t1: raw( without a word)? \(failed\): stdout.*"/bin/bash',
    r'^t1: raw .*: stdout(_lines)?(\[0\])?: " ?root bash',
    # sudo's prompt on a terminal that stock has and we have not.
    r'password for a raw command \(ok\): stdout.* \| (\["root"\]|"root\\r\\n")$',
    # The way in `connection` is one more name of a connection.
    r'_ansible_delegated_vars\.ansible_connection: ("ssh"|"\(missing\)") \| "mitosis\.express\.ssh"$',
    r'ansible_env\.SUDO_COMMAND: ',
    # A module that is killed: no shell says so.
    r'^t1: (a module that exits early|end|mess uid|odd ends as another account) .*'
    r'module_stderr: "(Killed|Segmentation fault|Terminated|Aborted|Alarm clock)( \(core dumped\))?\\n" \| ""$',
    # A module's process is no session's leader, but leads a group.
    r'^t1: (mess session|their results) .*found: "a new one" \| "Operation not permitted"$',
    # What an async module printed is looked at by us.
    r'^t1: their results .*msg: "Traceback .*/async_wrapper.py.* \| "Traceback ',
    # The words of stock's pipelining are not those of its ssh.
    r'unreachable.*msg: "(Task failed: )?Data could not be sent to remote host .* \| .*Failed to connect to the host via ssh',
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # By default, with the newest alone: the matrix runs the others both ways.
    cases = [(suite, core, way) for core, way in pairs() for suite in SUITES if ALL or (core, way) == pairs()[0]]
    metafunc.parametrize('case', cases, ids=['-'.join(map(str, reversed(case))) for case in cases])


def allowed(line: str) -> bool:
    """Is this difference one that docs/differences.md lists?"""
    return any(re.search(pattern, line) for pattern in DIFFERENCES)


@pytest.fixture(scope='session')
def runs(network: Hosts, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """The runs that the tests of this session compare are all on their way when the first test waits for one."""
    found = Runs(tmp_path_factory.mktemp('suites'))
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.path.name == 'test_contract.py':
            suite, core, way = item.callspec.params['case']
            found.want(suite, core, 'stock')
            found.want(suite, core, way)
    yield found
    found.end()


def test_same_results(case: Case, runs: Runs) -> None:
    suite, core, way = case
    stock, ours = runs.get(suite, core, 'stock'), runs.get(suite, core, way)
    assert stock.finished and ours.finished
    assert len(stock.finished.records) > suite.records, str(stock.finished)
    assert ours.finished.code == stock.finished.code, str(ours.finished)
    left, right = by_host(stock.finished.records, stock.own), by_host(ours.finished.records, ours.own)
    found = [f'{host}: {line}' for host in sorted({*left, *right})
             for line in aligned(left.get(host, []), right.get(host, []))]
    found = [line for line in found if not allowed(line)]
    assert not found, '\n'.join(found)


def test_nothing_is_left(case: Case, runs: Runs) -> None:
    """But for what stock Ansible leaves too: some files of async tasks."""
    suite, core, way = case
    stock, ours = runs.get(suite, core, 'stock'), runs.get(suite, core, way)
    leftovers = set(normal(ours.leftovers, ours.own)) - set(normal(stock.leftovers, stock.own))
    assert not leftovers, '\n'.join(ours.leftovers)


def test_accelerated(case: Case, runs: Runs) -> None:
    """Only what can't be accelerated goes the stock way, each with its reason."""
    suite, core, way = case
    finished = runs.get(suite, core, way).finished
    assert finished
    if way == 'strategy':
        lines = re.findall(r'^mitosis: (\d+) of (\d+) task runs accelerated(.*)$', finished.err, re.M)
        assert sum(int(total) - int(fast) for fast, total, _ in lines) <= suite.slow, lines
        assert sum(int(fast) for fast, _, _ in lines) > suite.fast, lines
