"""docs/security.md names tests that are there."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / 'docs' / 'security.md').read_text()
NAMED = sorted(set(re.findall(r'`(tests/[\w/]+\.py)::(\w+)`', TEXT)))


def test_some_are_named():
    assert len(NAMED) > 15


@pytest.mark.parametrize(('path', 'name'), NAMED)
def test_it_is_there(path, name):
    assert f'\ndef {name}(' in (ROOT / path).read_text()
