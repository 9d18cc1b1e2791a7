"""The ways in: ad hoc, the strategies, and what says how much was accelerated."""

from __future__ import annotations

import pathlib

import pytest

from tests.integration.support.control import Control


@pytest.mark.parametrize('arguments', [('-m', 'ping'), ('-m', 'shell', '-a', 'echo $((6 * 7)); exit 3')], ids=['ping', 'shell'])
def test_ad_hoc_says_what_stock_says(control: Control, stock: Control, arguments: tuple[str, ...]) -> None:
    ours, theirs = control.adhoc('t1', *arguments), stock.adhoc('t1', *arguments)
    assert (ours.code, ours.out) == (theirs.code, theirs.out)


def test_ad_hoc_copy(control: Control, tmp_path: pathlib.Path) -> None:
    target = f'/tmp/{control.marker}'
    assert control.adhoc('t1', '-m', 'copy', '-a', f'content=hello dest={target}').code == 0
    done = control.adhoc('t1', '-m', 'slurp', '-a', f'src={target}')
    assert '"content": "aGVsbG8="' in done.out, str(done)
    assert control.adhoc('t1', '-m', 'file', '-a', f'path={target} state=absent').code == 0
