"""ansible-core's own integration targets pass under Mitosis as they do under stock Ansible."""

from __future__ import annotations

import pytest

from tests.conformance.harness import SECONDS, Harness, Way


@pytest.mark.timeout(SECONDS + 60)
def test_target(harness: Harness, results, record, target: str, way: Way) -> None:
    problem = harness.target(target).problem
    if problem:
        pytest.skip(problem)
    stock = results.get(target, {}).get('stock')
    if stock and stock.reason:
        pytest.skip(f'fails under stock Ansible too: {stock.reason}')
    result = harness.run(target, way)
    record(target, way, result)
    if way.name == 'stock' and result.reason:
        pytest.skip(f'fails under stock Ansible: {result.reason}')
    assert not result.reason, f'{result.reason}\n{result.tail()}'
