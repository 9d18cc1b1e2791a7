"""Which controllers meet which targets, and the table at the end."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.integration.support.control import ALL, WAYS, Core
from tests.integration.support.hosts import Hosts
from tests.support import interpreters
from tests.support.interpreters import Interpreter

# ansible-core -> the oldest and newest Python 3 that it supports on targets; some support 2.7 too.  Its documentation
# has this as the "ansible-core support matrix".
SUPPORTED = {'2.16': (6, 12), '2.17': (7, 12), '2.18': (8, 13), '2.19': (8, 13), '2.20': (9, 14), '2.21': (9, 14)}
WITH_TWO = {'2.16'}


def supported(core: Core, target: Interpreter) -> bool:
    if target.version[0] == 2:
        return core.version in WITH_TWO
    oldest, newest = SUPPORTED[core.version]
    return oldest <= target.version[1] <= newest


def targets(core: Core) -> list[Interpreter]:
    """Those that are supported; by default the oldest for an old ansible-core, else the newest."""
    found = [target for target in interpreters.found() if supported(core, target)]
    return found if ALL else found[:1] if core.number < (2, 19) else found[-1:]


class Matrix:
    """Collects outcomes by the properties that a test notes, and prints them as a table."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        noted = dict(report.user_properties)
        if 'controller' in noted and (report.when == 'call' or report.failed):
            row = self.outcomes.setdefault(str(noted['controller']), {})
            row[str(noted['target'])] = report.outcome

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if not self.outcomes:
            return
        targets = [str(target) for target in interpreters.found()]
        terminalreporter.section(f'{" and ".join(WAYS)} give what stock gives')
        terminalreporter.write_line('| controller | ' + ' | '.join(targets) + ' |')
        terminalreporter.write_line('|---|' + '---|' * len(targets))
        for name, row in self.outcomes.items():
            cells = [row.get(target, '-') for target in targets]
            terminalreporter.write_line(f'| {name} | ' + ' | '.join(cells) + ' |')


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Matrix())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if 'target' in metafunc.fixturenames:
        pairs = [(core, target) for core in Core.all() for target in targets(core)]
        metafunc.parametrize('core,target', pairs, ids=[f'{core.name}, {target}' for core, target in pairs])


@pytest.fixture(scope='session')
def hosts() -> Hosts:
    hosts = Hosts(pathlib.Path(os.environ['MITOSIS_HOSTS']))
    if not hosts.own:
        pytest.skip('needs hosts of its own, in network namespaces: run as root')
    return hosts
