"""What a module said, and the choice that it is."""

from __future__ import annotations

import json

import pytest

from mitogen_core.wire.choices import choose

STAT = {'changed': False, 'stat': {'exists': True, 'isdir': False, 'checksum': 'x'}}


@pytest.mark.parametrize(('choices', 'chosen'), [
    ([[{'stat': {'checksum': 'x'}}], [{}]], 0), ([[{'stat': {'checksum': 'y'}}], [{}]], 1),
    ([[], [{'stat': {'exists': False}}, {'stat': {'exists': True, 'isdir': False}}]], 1),
    ([[{'stat': {'exists': 1.5}}], [{'stat': {'checksum': None}}], [{'stat': 'text'}]], None),
    ([[STAT], [{}]], 0), ([[{'warnings': None, 'stat': {'more': None}}]], 0), ([[{'changed': None}]], None),
    ([], None)])
def test_choose(choices, chosen):
    data = json.dumps(STAT).encode()
    assert choose(choices, {'rc': 0, 'out': len(data)}, data + b'on stderr') == chosen
    assert choose(choices, {'rc': 1, 'out': len(data)}, data) is None


@pytest.mark.parametrize('data', [b'', b'{', b'warning\n{}', b'\xff', b'[' * 100000])
def test_nothing_to_choose_by(data: bytes):
    assert choose([[{}]], {'rc': 0, 'out': len(data)}, data) is None
