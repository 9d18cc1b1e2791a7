"""The contract playbook, run stock and ours: all results are the same, but for what docs/differences.md lists."""

from __future__ import annotations

import concurrent.futures
import glob
import os
import re
import shutil
from collections.abc import Iterator

import pytest

from tests.integration.support.compare import aligned, by_host, normal
from tests.integration.support.contract import Contract
from tests.integration.support.control import WAYS, Core
from tests.integration.support.hosts import Hosts

Runs = dict[tuple[str, str], 'concurrent.futures.Future[Contract]']

pytestmark = pytest.mark.timeout(1200)

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
    r'a module that exits early .*module_stderr: "Killed\\n" \| ""$',
    # The words of stock's pipelining are not those of its ssh.
    r'unreachable.*msg: "(Task failed: )?Data could not be sent to remote host .* \| .*Failed to connect to the host via ssh',
]


def allowed(line: str) -> bool:
    """Is this difference one that docs/differences.md lists?"""
    return any(re.search(pattern, line) for pattern in DIFFERENCES)


def other_python(core: Core) -> str | None:
    """An interpreter for targets, of another version than theirs, that this ansible-core supports."""
    oldest = (3, 9) if core.number >= (2, 20) else (3, 7)
    system = os.path.realpath('/usr/bin/python3')
    for path in sorted(glob.glob('/usr/bin/python3.*') + glob.glob('/usr/local/bin/python3.*')
                       + glob.glob(os.path.join(os.path.expanduser('~/.pyenv'), 'versions', '3.*', 'bin', 'python3.*'))):
        version = re.search(r'python3\.(\d+)$', path)
        if version and os.path.realpath(path) != system and (3, int(version[1])) >= oldest:
            return path
    return None


@pytest.fixture(scope='session')
def runs(network: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """(core, way) -> a run, which may still go on."""
    pool = concurrent.futures.ThreadPoolExecutor(3 * (os.cpu_count() or 1))  # they wait more than they work
    folder = tmp_path_factory.mktemp('contract')
    found = {}
    for core in Core.all():
        for way in ('stock', *WAYS):
            contract = Contract(core, way, folder / f'{core}-{way}')
            found[core.version, way] = pool.submit(contract.run, other_python(core))
    yield found
    pool.shutdown(cancel_futures=True)
    shutil.rmtree(folder, ignore_errors=True)


def test_same_results(core: Core, way: str, runs: Runs) -> None:
    stock, ours = runs[core.version, 'stock'].result(), runs[core.version, way].result()
    assert stock.finished and ours.finished
    assert len(stock.finished.records) > 400, str(stock.finished)
    assert ours.finished.code == stock.finished.code, str(ours.finished)
    left, right = by_host(stock.finished.records, stock.own), by_host(ours.finished.records, ours.own)
    found = [f'{host}: {line}' for host in sorted({*left, *right})
             for line in aligned(left.get(host, []), right.get(host, []))]
    found = [line for line in found if not allowed(line)]
    assert not found, '\n'.join(found)


def test_nothing_is_left(core: Core, way: str, runs: Runs) -> None:
    """But for what stock Ansible leaves too: some files of async tasks."""
    stock, ours = runs[core.version, 'stock'].result(), runs[core.version, way].result()
    leftovers = set(normal(ours.leftovers, ours.own)) - set(normal(stock.leftovers, stock.own))
    assert not leftovers, '\n'.join(ours.leftovers)


def test_accelerated(core: Core, way: str, runs: Runs) -> None:
    """Only what can't be accelerated goes the stock way, each with its reason."""
    finished = runs[core.version, way].result().finished
    assert finished
    if way == 'strategy':
        lines = re.findall(r'^mitosis: (\d+) of (\d+) task runs accelerated(.*)$', finished.err, re.M)
        assert sum(int(total) - int(fast) for fast, total, _ in lines) <= 6, lines
        assert sum(int(fast) for fast, _, _ in lines) > 300, lines
