"""Options, and the table at the end.  `./dev conformance` gives the options; see docs/conformance.md."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.harness import WAYS, Core, Harness, Result, SshHost, Way
from tests.conformance.targets import read_names

# target -> way -> result
Results = dict[str, dict[str, Result]]
RESULTS = pytest.StashKey[Results]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup('conformance')
    group.addoption('--ways', default=','.join(WAYS), help='of ' + ', '.join(WAYS))
    group.addoption('--targets', default='', help="names and .txt files of names, with commas between")
    group.addoption('--venv', type=pathlib.Path, help='with the ansible-core to test')
    group.addoption('--sdist', type=pathlib.Path, help='of the same ansible-core')
    group.addoption('--collections', type=pathlib.Path, help='the folder that holds ansible_collections')
    group.addoption('--ssh-key', default='', help='that lets root in by ssh at 127.0.0.1')
    group.addoption('--target-python', default='/usr/bin/python3')
    group.addoption('--results', type=pathlib.Path, help='a folder for results.json and logs')


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RESULTS] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if 'target' in metafunc.fixturenames:
        option = metafunc.config.getoption
        ways = [WAYS[name] for name in option('ways').split(',')]
        names = read_names([word for word in option('targets').split(',') if word])
        metafunc.parametrize('target,way', [(name, way) for name in names for way in ways],
                             ids=[f'{name}-{way}' for name in names for way in ways])


@pytest.fixture(scope='session')
def harness(pytestconfig: pytest.Config) -> Iterator[Harness]:
    option = pytestconfig.getoption
    host = SshHost('127.0.0.1', '22', option('ssh_key'), option('target_python'))
    with tempfile.TemporaryDirectory(prefix='conformance-') as work:
        yield Harness(Core(option('venv').absolute()), option('sdist'), option('collections'), host,
                      pathlib.Path(work) / 'work')


@pytest.fixture(scope='session')
def results(pytestconfig: pytest.Config) -> Results:
    """What is known so far."""
    return pytestconfig.stash[RESULTS]


@pytest.fixture
def record(pytestconfig: pytest.Config, results: Results) -> Callable[[str, Way, Result], None]:
    """Keeps a result for the table, and with its log in the folder for results if there is one."""
    def keep(target: str, way: Way, result: Result) -> None:
        results.setdefault(target, {})[way.name] = result
        folder = pytestconfig.getoption('results')
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / result.log.name).write_bytes(result.log.read_bytes())
            (folder / 'results.json').write_text(json.dumps(
                {name: {way: {'seconds': round(r.seconds, 1), 'reason': r.reason} for way, r in ways.items()}
                 for name, ways in results.items()}, indent=1) + '\n')
    return keep


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    results = config.stash[RESULTS]
    if not results:
        return
    ways = config.getoption('ways').split(',')
    terminalreporter.section('conformance')
    terminalreporter.write_line('| target | ' + ' | '.join(ways) + ' |')
    terminalreporter.write_line('|---|' + '---|' * len(ways))
    for name, found in results.items():
        cells = [f'{"FAILED: " + r.reason if r.reason else "passed"}, {r.seconds:.1f} s' if (r := found.get(way))
                 else '-' for way in ways]
        terminalreporter.write_line(f'| {name} | ' + ' | '.join(cells) + ' |')
    for way in ways:
        ended = [found[way] for found in results.values() if way in found]
        passed = [r for r in ended if not r.reason]
        terminalreporter.write_line(f'{way}: {len(passed)} of {len(ended)} targets passed, '
                                    f'{sum(r.seconds for r in passed):.0f} s')
