"""The environment names what is tested: MITOSIS_COLLECTIONS and MITOSIS_VENVS, as `./dev test` sets them, and
MITOSIS_ROWS, a folder whose inventory.yml has hosts of more connections.  Collections of others are looked for in
ANSIBLE_COLLECTIONS_PATH."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.integration.support.control import Core


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if pathlib.Path(__file__).parent in item.path.parents]
    missing = [name for name in ('MITOSIS_COLLECTIONS', 'MITOSIS_VENVS') if not os.environ.get(name)]
    if ours and (missing or not Core.all()):
        raise pytest.UsageError(f'{", ".join(missing) or "ansible-core"} is missing: run ./dev test connections')
    for item in ours:
        item.add_marker('integration')
