"""Actions, keywords and programs, run stock and ours: the same results, the same text, the same exit code."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.integration.keywords.table import BY_CONNECTION, EVERYWHERE, SCENARIOS
from tests.integration.support.control import ALL, Core, pairs
from tests.integration.support.hosts import Hosts
from tests.integration.support.scenarios import Scenario, Stages, differences

pytestmark = pytest.mark.timeout(900)
COLLECTIONS = pathlib.Path(os.environ.get('MITOSIS_COLLECTIONS', ''), 'ansible_collections')


def cases() -> list[tuple[tuple[Core, str], Scenario]]:
    """All pairs of ansible-core and way with all scenarios; by default the first.  All of them are run on the same hosts,
    stock and ours: some see what those before them left there."""
    every = [(pair, scenario) for pair in pairs() for scenario in SCENARIOS if pair[1] in scenario.ways]
    return [(pair, scenario) for pair, scenario in every if ALL or pair == pairs()[0]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if 'pair' in metafunc.fixturenames:
        chosen = cases()
        if 'scenario' in metafunc.fixturenames:
            metafunc.parametrize(('pair', 'scenario'), chosen,
                                 ids=[f'{core}-{way}-{scenario}' for (core, way), scenario in chosen])
        else:
            used = list(dict.fromkeys(pair for pair, _ in cases()))
            metafunc.parametrize('pair', used, ids=[f'{core}-{way}' for core, way in used])


@pytest.fixture(scope='session')
def stages(request: pytest.FixtureRequest, network: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stages]:
    """Runs of the scenarios of all chosen tests, which may still go on."""
    stages = Stages(tmp_path_factory.mktemp('keywords'))
    for item in request.session.items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, 'callspec') else {}
        if 'pair' in params:
            core, way = params['pair']
            for name in ('stock', way):
                stages.want(core, name, params.get('scenario'))
    stages.start()
    yield stages
    stages.end()


def test_same(pair: tuple[Core, str], scenario: Scenario, stages: Stages) -> None:
    core, way = pair
    if scenario.name == 'collections' and not (COLLECTIONS / 'ansible' / 'posix').is_dir():
        pytest.skip("ansible.posix is not here: PyPI's package `ansible` could not be fetched")
    stock, ours = (stages.stage(core, name).wanted[scenario].result() for name in ('stock', way))
    texts = '\n'.join(str(finished) for finished in stock.finished)
    assert all(finished.code != 999 for finished in (*stock.finished, *ours.finished)), 'it did not end'
    assert any(finished.records or finished.out for finished in stock.finished), texts
    patterns = [*EVERYWHERE, *scenario.allowed, *(BY_CONNECTION if way == 'connection' else ())]
    found = [line for line in differences(stock, ours) if not any(re.search(pattern, line) for pattern in patterns)]
    assert not found, '\n'.join(found)


def test_nothing_is_left(pair: tuple[Core, str], stages: Stages) -> None:
    """But for what stock Ansible leaves too, and the folder of a module that ran into its task's timeout."""
    core, way = pair
    stock, ours = (stages.stage(core, name).leftovers.result() for name in ('stock', way))
    left = [line for line in ours if line not in stock and not re.fullmatch(r'file on t1: \S+/ansible-moduletmp-\*', line)]
    assert not left, '\n'.join(left)
