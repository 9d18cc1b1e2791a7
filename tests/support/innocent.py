"""An engine with an innocent target, and a way to one that is not."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from mitogen_core.controller.client import Client

from . import interpreters, leaks
from .engine import SECONDS, Engine, boot_argv, login
from .memory import Memory

PROGRAM = pathlib.Path(__file__).with_name('malicious.py')
MEGABYTE = 1 << 20
# How much the multiplexer may grow by a target, whatever that does: a head that is all lists, while it is read; what is
# kept of unfinished messages, windows, queues.
BOUND = 32 * MEGABYTE
# Its log, by a target that says as much as it can.
LOGGED = 2 * MEGABYTE
NAME = 'the villain'


def expanduser(client: Client, context: int) -> None:
    value, _ = client.call(context, 'files', 'expanduser', {'path': '/x'}, timeout=SECONDS)
    assert value == '/x'


def harmless(error: BaseException) -> str:
    text = str(error)
    assert len(text) < 10_000 and all(line.isprintable() for line in text.split('\n')), text
    return text


class Innocent:
    """`victim` is its context; nothing may appear in the test's folder."""

    def __init__(self, engine: Engine, folder: pathlib.Path) -> None:
        self.engine, self.folder = engine, folder
        self.victim = engine.local(interpreters.newest().path, 'victim')
        self.serves()
        self.memory = Memory(engine.mux_pid)
        self.before = self._files()

    def _files(self) -> set[str]:
        """All below the test's folder but what the engine has there, and in the folder of the run."""
        return {str(path) for path in self.folder.rglob('*') if path.name != 'mux.log'}

    def login(self, deed: str, **more: Any) -> dict[str, Any]:
        """A hop to the villain: its Python is our program."""
        python = self.folder / f'python-{deed}'
        if not python.exists():
            python.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} {deed} {self.folder}/mine "$@"\n')
            python.chmod(0o755)
            self.before.add(str(python))
        return login(NAME, boot_argv(str(python)), **more)

    def serves(self) -> None:
        """Is the other target served, as it should be?"""
        run = self.engine.execute(self.victim, ['echo', 'innocent'])
        assert (run.rc, run.out) == (0, b'innocent\n')

    def unharmed(self, bound: int = BOUND) -> None:
        self.serves()
        status = self.engine.status()
        assert status['pid'] == self.engine.mux_pid and leaks.alive(self.engine.mux_pid)
        assert self.memory.growth < bound and self.memory.share_growth < bound
        assert self._files() == self.before
        logged = self.engine.logged()
        assert len(logged) < LOGGED and all(line.isprintable() for line in logged.split('\n'))
