"""MITOSIS_PROFILE: every process of ours leaves a profile, and one command makes a table of them."""

from __future__ import annotations

import collections
import pathlib
import pstats
import subprocess
import sys
import zlib

import pytest

from mitogen_core.controller import profile
from tests.support.engine import SECONDS, Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.sources import ROOT
from tests.support.standin import Runners


def test_a_run(clean: str, tmp_path: pathlib.Path, edge: Interpreter, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / 'profiles'
    monkeypatch.setenv('MITOSIS_PROFILE', str(folder))
    engine = Engine(tmp_path, clean)
    try:
        host, account = engine.get(login('host', boot_argv(edge.path)), login('account', boot_argv(edge.path)))[0]
        for context in (host, account):
            runners = Runners(engine, context)
            for isolation in ('fork', 'inline'):
                assert runners.probe('result["fine"] = True',
                                     isolation=isolation).value
    finally:
        engine.stop()
    names = sorted(path.name.partition('-')[0] for path in folder.iterdir())
    assert names == ['broker', 'broker', 'multiplexer', 'runner', 'runner'], engine.logged()
    found = {path.name.partition('-')[0]: {name for _, _, name in pstats.Stats(str(path)).stats}
             for path in folder.iterdir()}
    assert 'step' in found['multiplexer'] and 'on_frame' in found['broker'] and 'pump' in found['runner']
    assert 'run_module' not in found['runner']
    done = subprocess.run([sys.executable, '-m', 'mitogen_core.controller.profile', str(folder), '5'], cwd=ROOT,
                          capture_output=True, text=True, timeout=SECONDS, check=True)
    heads = [line for line in done.stdout.splitlines() if 'processes' in line]
    assert [head.partition(',')[0] for head in heads] == [
        'multiplexer: 1 processes', 'broker: 2 processes', 'runner: 2 processes']
    assert len(done.stdout.splitlines()) == 3 * 7 + 2


def test_nothing_is_imported_without(engine: Engine, edge: Interpreter):
    context = engine.local(edge.path)
    done = Runners(engine, context).probe('result["found"] = [m for m in sys.modules if "rofile" in m]').value
    assert done['found'] == []
    maps = pathlib.Path(f'/proc/{engine.mux_pid}/maps').read_text()
    assert '_lsprof' not in maps


def test_no_profiles(tmp_path: pathlib.Path):
    assert profile.table(str(tmp_path), 5) == []
    done = subprocess.run([sys.executable, '-m', 'mitogen_core.controller.profile', str(tmp_path)], cwd=ROOT,
                          capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 1 and 'MITOSIS_PROFILE=' in done.stdout


class Nobody:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.log = self

    def write(self, level: int, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(('head', 'bulk'), [
    (None, b''), ({}, b''), ({'profile': 'broker', 'pid': 'x'}, b''), ({'profile': 'broker', 'pid': 1}, b'no deflate'),
    ({'profile': 'broker', 'pid': 1}, zlib.compress(b'[[1, 2]]')),
    ({'profile': 'broker', 'pid': 1}, zlib.compress(b'{"a": 1}')),
    ({'profile': '../../x', 'pid': 1}, zlib.compress(b'[]')),
])
def test_what_a_target_may_tell(tmp_path: pathlib.Path, head, bulk: bytes):
    contexts = profile.Contexts.__new__(profile.Contexts)
    contexts.mux, contexts.folder, contexts.told = Nobody(), str(tmp_path), collections.Counter()
    contexts.write('../a name', head, bulk)
    assert list(tmp_path.glob('**/*.prof')) == []
