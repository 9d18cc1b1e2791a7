"""Fixtures.  The environment names what is tested: MITOSIS_COLLECTIONS, MITOSIS_HOSTS, MITOSIS_VENVS, as
`./dev test integration` sets them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.integration.support import report
from tests.integration.support.control import WAYS, Control, Core, pairs
from tests.integration.support.hosts import Hosts

CORES = Core.all()
PAIRS = pairs()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = [name for name in ('core', 'way') if name in metafunc.fixturenames]
    if len(names) == 2:
        metafunc.parametrize(names, PAIRS, ids=[f'{core}-{way}' for core, way in PAIRS], scope='module')
    elif names:
        metafunc.parametrize(names[0], CORES if names == ['core'] else WAYS, ids=str, scope='module')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if pathlib.Path(__file__).parent in item.path.parents]
    missing = [name for name in ('MITOSIS_COLLECTIONS', 'MITOSIS_HOSTS', 'MITOSIS_VENVS') if not os.environ.get(name)]
    if ours and (missing or not CORES):
        raise pytest.UsageError(f'{", ".join(missing) or "ansible-core"} is missing: run ./dev test integration')
    for item in ours:
        item.add_marker('integration')
        if 'network' in getattr(item, 'fixturenames', ()) and not _hosts().own:
            item.add_marker(pytest.mark.skip(reason='needs hosts of its own, in network namespaces: run as root'))


def pytest_sessionfinish() -> None:
    report.write()


def _hosts() -> Hosts:
    return Hosts(pathlib.Path(os.environ['MITOSIS_HOSTS']))


@pytest.fixture(scope='session')
def hosts() -> Hosts:
    """The hosts that are up."""
    return _hosts()


@pytest.fixture(scope='session')
def network(hosts: Hosts) -> Hosts:
    """The hosts, which are no part of this machine: anything may be done to them."""
    return hosts


@pytest.fixture
def control(core: Core, way: str, hosts: Hosts, tmp_path: pathlib.Path) -> Iterator[Control]:
    """A controller; at the end nothing may be left of its runs, here or there."""
    control = Control(core, way, hosts, tmp_path)
    yield control
    assert control.leftovers() == []


@pytest.fixture
def stock(core: Core, hosts: Hosts, tmp_path: pathlib.Path) -> Iterator[Control]:
    """A controller without Mitosis."""
    control = Control(core, 'stock', hosts, tmp_path / 'stock')
    yield control
    control.end_stock_masters()
