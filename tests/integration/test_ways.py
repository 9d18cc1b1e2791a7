"""Ad hoc commands, both ways in."""

from __future__ import annotations

import pathlib
import re

from tests.integration.support.control import Control


def test_ad_hoc_says_what_stock_says(control: Control, stock: Control) -> None:
    arguments = ('t1', '-m', 'shell', '-a', 'echo $((6 * 7)); exit 3')
    ours, theirs = control.adhoc(*arguments), stock.adhoc(*arguments)
    assert (ours.code, ours.out) == (theirs.code, theirs.out)
    # How the failure is put differs between versions of ansible-core.
    assert ours.code == 2 and 't1 | FAILED | rc=3 >>\n42' in ours.out


def test_ad_hoc_copy(control: Control) -> None:
    name = f'tmp/{control.marker}'
    done = control.adhoc('t1', '-m', 'copy', '-a', f'content=hello dest=/{name}')
    copied = (control.hosts.root('t1') if control.hosts.own else pathlib.Path('/')) / name
    try:
        assert (done.code, copied.read_text()) == (0, 'hello'), str(done)
    finally:
        copied.unlink(missing_ok=True)
    if control.way == 'strategy':
        assert re.fullmatch('mitosis: 1 of 1 task runs accelerated\n', done.err)
