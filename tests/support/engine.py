"""The engine without Ansible: a multiplexer, contexts on this machine, closures made by hand."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mitogen_core.controller import bootstrap, content, supervisor
from mitogen_core.controller.client import Client
from mitogen_core.wire.constants import CALL_FUNCTION, FORWARD_MODULE, ROOT
from mitogen_core.wire.payloads import frames

from . import leaks

# Each wait for an answer; far more than any should need.
SECONDS = 60
DATE = [2020, 1, 2, 3, 4, 6]


class Closure(content.Closure):
    """Files of a module, by path, as Ansible's builder would put them into its zip."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__({path: text.encode() for path, text in files.items()})

    def with_listing(self) -> dict[str, bytes]:
        """All that a context needs, the list of files included."""
        return {self.digest: content.deflate(self.listing), **{digest: self.deflated(digest) for digest in self.files}}


@dataclass
class Ran:
    """What came back from a module."""

    rc: int
    out: bytes
    err: bytes
    left: list[str] = field(default_factory=list)

    @property
    def value(self) -> dict[str, Any]:
        assert self.rc == 0, self
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def boot_argv(*pythons: str) -> list[str]:
    """What starts a broker on this machine."""
    return ['/bin/sh', '-c', bootstrap.boot_command(pythons)]


def login(name: str, argv: list[str], **more: Any) -> dict[str, Any]:
    """A hop of a chain."""
    return {'key': name, 'spec': {'name': name, 'argv': argv, 'timeout': SECONDS, **more}}


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Engine:
    """A multiplexer that lives as long as a process of ours, `watched`.  All it starts carries `mark`."""

    def __init__(self, base: pathlib.Path, mark: str, log: bool = True) -> None:
        self.folder, self.log, self.mark = base / 'engine', base / 'mux.log' if log else '', mark
        self.watched = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._clients: list[Client] = []
        self.client = self.connect()
        self.mux_pid = self.status()['pid']

    # life

    def connect(self) -> Client:
        """A client of its own; the multiplexer is started where it is missing."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with environment(**{leaks.MARK: self.mark, 'MITOSIS_LOG': str(self.log)}):
            client = supervisor.connect(str(self.folder), self.watched.pid)
        self._clients.append(client)
        return client

    def reconnect(self) -> Client:
        """A client in place of one that broke."""
        self.client = self.connect()
        self.mux_pid = self.status()['pid']
        return self.client

    def end_watched(self) -> None:
        """The run is over."""
        if self.watched.stdin:
            self.watched.stdin.close()
        self.watched.wait(SECONDS)

    def stop(self) -> None:
        self.end_watched()
        for client in self._clients:
            client.close()
        leaks.no_processes(self.mark, 'alive after the end of the run')
        leaks.wait_until(lambda: not self.folder.exists(), f'the end of {self.folder}')

    def status(self) -> dict[str, Any]:
        return dict(self.client.call(ROOT, 'status', 'status', {}, timeout=SECONDS)[0])

    def logged(self) -> str:
        return self.log.read_text() if self.log and self.log.exists() else ''

    # contexts

    def get(self, *chain: dict[str, Any], client: Client | None = None,
            on_progress: Callable[[Any, bytes], None] | None = None) -> tuple[list[int], list[dict[str, Any]]]:
        value, _ = (client or self.client).call(ROOT, 'contexts', 'get', {'chain': list(chain)}, timeout=SECONDS,
                                                on_progress=on_progress)
        return value['ids'], value['hellos']

    def local(self, python: str, name: str = 'local') -> int:
        """The id of a context of this machine."""
        return self.get(login(name, boot_argv(python)))[0][0]

    def pid_of(self, context: int) -> int:
        return next(each['pid'] for each in self.status()['contexts'] if each['id'] == context)

    # work

    def execute(self, context: int, argv: list[str], stdin: bytes = b'', **more: Any) -> Ran:
        return ran(self.client.call(context, 'processes', 'exec', {'argv': argv, **more}, stdin, timeout=SECONDS))

    def define(self, closure: content.Closure, client: Client | None = None, payload: str = '') -> None:
        """Have the multiplexer know a closure, by its digest or by this name."""
        client = client or self.client
        missing, _ = client.call(ROOT, 'modules', 'define', {
            'payload': payload or closure.digest, 'closure': closure.digest, 'digests': list(closure.files)},
            closure.listing, timeout=SECONDS)
        for digest in missing:
            client.post(ROOT, FORWARD_MODULE, {'digest': digest}, closure.deflated(digest))

    def start(self, context: int, closure: Closure, fqn: str, params: dict[str, Any], client: Client | None = None,
              **more: Any) -> int:
        """Begin a module run; returns the handle of its answer."""
        args = {'payload': closure.digest, 'context': context, 'layout': 1, 'name': fqn.rpartition('.')[2], 'fqn': fqn,
                'profile': 'legacy', 'date_time': DATE,
                'rlimit_nofile': 0, 'env': None, 'interpreter': '', 'cwd': None, 'isolation': 'fork', **more}
        return (client or self.client).start(ROOT, 'modules', 'run', args,
                                             json.dumps({'ANSIBLE_MODULE_ARGS': params}).encode())

    def wait(self, handle: int, client: Client | None = None) -> Ran:
        return ran((client or self.client).wait(handle, 'a module', SECONDS))

    def run(self, context: int, closure: Closure, fqn: str, params: dict[str, Any], client: Client | None = None,
            **more: Any) -> Ran:
        """Run a module of a closure that the multiplexer knows."""
        return self.wait(self.start(context, closure, fqn, params, client, **more), client)

    def call_function(self, context: int, closure: Closure, function: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """CALL_FUNCTION, after sending its code straight to the context; returns the head of the answer."""
        client = self.client
        for digest, blob in closure.with_listing().items():
            client.post(context, FORWARD_MODULE, {'digest': digest}, blob)
        client._handle += 1
        client._send(frames(context, 0, CALL_FUNCTION, client._handle, {
            'closure': closure.digest, 'function': function, 'args': list(args), 'kwargs': kwargs}))
        return dict(client.wait(client._handle, function, SECONDS)[0])


def ran(answer: tuple[Any, bytes]) -> Ran:
    head, bulk = answer
    return Ran(head['rc'], bulk[:head['out']], bulk[head['out']:], list(head.get('left', ())))
