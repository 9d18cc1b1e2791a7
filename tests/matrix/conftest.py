"""Which controllers meet which targets, and the table at the end."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.integration.support.control import WAYS, Core
from tests.integration.support.hosts import Hosts
from tests.support import interpreters
from tests.support.interpreters import Interpreter

# ansible-core -> the oldest Python 3 that it supports on targets; some support 2.7 too.  Its documentation has this as
# the "ansible-core support matrix".
OLDEST = {'2.16': (3, 6), '2.17': (3, 7), '2.18': (3, 8), '2.19': (3, 8), '2.20': (3, 9), '2.21': (3, 9)}
WITH_TWO = {'2.16'}


def supported(core: Core, target: Interpreter) -> bool:
    return target.version >= OLDEST[core.version] or (target.version == (2, 7) and core.version in WITH_TWO)


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
        pairs = [(core, target) for core in Core.all() for target in interpreters.found() if supported(core, target)]
        metafunc.parametrize('core,target', pairs, ids=[f'{core.name}, {target}' for core, target in pairs])


@pytest.fixture(scope='session')
def hosts() -> Hosts:
    hosts = Hosts(pathlib.Path(os.environ['MITOSIS_HOSTS']))
    if not hosts.own:
        pytest.skip('needs hosts of its own, in network namespaces: run as root')
    return hosts
