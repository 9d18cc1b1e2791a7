"""30 faults of all kinds, always the same ones.  `./dev faults` draws others, as many as one likes: docs/faults.md."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import pytest

from tests.faults import injections
from tests.faults.faults import Faults, summary
from tests.faults.injections import KINDS, Injection
from tests.faults.judge import Outcome
from tests.integration.support.control import WAYS, Core
from tests.integration.support.hosts import Hosts

COUNT = 30
# The first seeds of each kind are looked for from here on.
SEED = 1000


def chosen(root: bool) -> list[Injection]:
    """Of all kinds in turns, the first seeds; without a multiplexer that is stopped for good, which takes a minute."""
    seeds = iter(range(SEED, SEED + 5000))
    found: dict[str, list[Injection]] = {kind: [] for kind in KINDS}
    kinds = [kind for kind in KINDS if root or kind not in injections.FILLS]
    wanted = {kind: COUNT // len(kinds) + (number < COUNT % len(kinds)) for number, kind in enumerate(kinds)}
    while sum(map(len, found.values())) < COUNT:
        injection = injections.draw(next(seeds), root)
        if injections.is_possible(injection, root) and len(found[injection.kind]) < wanted.get(injection.kind, 0) \
                and (injection.kind, injection.victim) != ('stop', 'the multiplexer'):
            found[injection.kind].append(injection)
    return [injection for group in found.values() for injection in group]


@pytest.fixture(scope='module')
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Outcome]]:
    missing = [name for name in ('MITOSIS_COLLECTIONS', 'MITOSIS_HOSTS', 'MITOSIS_VENVS') if not os.environ.get(name)]
    if missing:
        raise pytest.UsageError(f'{", ".join(missing)} is missing: run ./dev test faults')
    core = max(Core.all(), key=lambda core: core.number)
    hosts = Hosts(pathlib.Path(os.environ['MITOSIS_HOSTS']))
    with Faults(core, hosts, tmp_path_factory.mktemp('faults'), list(WAYS)).ready() as faults:
        yield list(faults.run(iter(chosen(hosts.own)), COUNT))


@pytest.mark.timeout(600)
def test_faults(outcomes: list[Outcome]) -> None:
    print(*outcomes, summary(outcomes), sep='\n')
    bad = [str(each) for each in outcomes if each.findings]
    assert not bad, '\n'.join(bad)
    # Some come too late: what they were for had ended.
    assert sum(bool(each.injection.at) for each in outcomes) >= COUNT * 2 // 3, '\n'.join(map(str, outcomes))
