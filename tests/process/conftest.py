"""Each test gets an environment of its own, and fails at its end where it left anything behind."""

from __future__ import annotations

import os
import pathlib
import tempfile
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.support import interpreters, leaks
from tests.support.engine import Engine
from tests.support.interpreters import Interpreter


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = pathlib.Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker('process')


@pytest.fixture(params=interpreters.found(), ids=str)
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Every supported Python of this machine."""
    return request.param


@pytest.fixture(params=interpreters.edges(), ids=str)
def edge(request: pytest.FixtureRequest) -> Interpreter:
    """The oldest and the newest of each kind."""
    return request.param


class Shared:
    """An engine, and a context in it, that the tests of one interpreter use one after the other."""

    def __init__(self, engine: Engine, interpreter: Interpreter) -> None:
        self.engine, self.interpreter = engine, interpreter
        self.context = engine.local(interpreter.path)
        # What an innocent module sees, by isolation.
        self.baseline: dict[str, dict] = {}


@pytest.fixture(scope='session', params=interpreters.found(), ids=str)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """For what can't harm an engine; whatever remains beside it fails the test."""
    interpreter = request.param
    engine = Engine(tmp_path_factory.mktemp(str(interpreter)), f'shared-{uuid.uuid4().hex}')
    try:
        yield Shared(engine, interpreter)
    finally:
        engine.stop()


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The value of leaks.MARK of this test."""
    shared = request.getfixturevalue('shared') if 'shared' in request.fixturenames else None
    mark = uuid.uuid4().hex
    temp = tmp_path / 'TMPDIR'
    temp.mkdir()
    monkeypatch.setenv(leaks.MARK, mark)
    monkeypatch.setenv('TMPDIR', str(temp))
    monkeypatch.setattr(tempfile, 'tempdir', None)
    here = leaks.Here()
    yield mark
    leaks.no_processes(mark, seconds=5)
    if shared:
        leaks.no_strays(shared.engine.mark, shared.engine.mux_pid, seconds=5)
    here.check()
    left = [str(path) for path in temp.rglob('*')]
    assert not left, f'temporary files left: {left}'


@pytest.fixture
def engine(clean: str, tmp_path: pathlib.Path) -> Iterator[Engine]:
    """An engine of this test's own."""
    found = Engine(tmp_path, clean)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def fifo(tmp_path: pathlib.Path) -> Callable[[str], str]:
    """Makes a FIFO: whoever opens it waits for the other end."""
    def make(name: str) -> str:
        path = str(tmp_path / name)
        os.mkfifo(path)
        return path
    return make
