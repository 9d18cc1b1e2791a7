"""A tree of contexts, for programs: docs/core.md shows how it is used.

    with Tree() as tree:
        web = tree.ssh('web1.example.org')
        root = web.sudo()
        print(root.call(os_release).result(60))
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import queue
import shlex
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ..remote.channel import Writer
from ..wire.constants import CALL_FUNCTION, CALL_SERVICE, CHUNK, FORWARD_MODULE, ROOT
from ..wire.errors import ChannelError
from . import bootstrap, jobs, supervisor
from .channels import AHEAD, LOG, POLICIES, SIZE
from .client import SOCKET, Client, chunks
from .closures import Code, closure_of
from .connection import Connection, Future

LOGGER = logging.getLogger('mitogen')
# What a login or an escalation may take.
SECONDS = 60


class Message:
    """A publication: `value`, `bulk` (bytes), `source` (id of a context; 0: the controller) and its `name`; `keep`,
    `dropped` (how many before it were, in this subscription), `gone` (a kept one is no longer true)."""

    def __init__(self, head: dict[str, Any], bulk: bytes) -> None:
        self.slot: str = head['slot']
        self.value, self.bulk = head['value'], bulk
        self.source: int = head['source']
        self.name: str = head['name']
        self.keep = bool(head.get('keep'))
        self.dropped = int(head.get('dropped', 0))
        self.gone = bool(head.get('gone'))


class Subscription:
    """Messages of one slot: iterate, or `get`.  Ends with `close` or with the tree."""

    def __init__(self, tree: Tree, slot: str, callback: Callable[[Message], None] | None, size: int,
                 policy: str) -> None:
        self._connection, self._taken = tree.connection, 0
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def on_progress(head: dict[str, Any], bulk: bytes) -> None:
            if not head:
                ready.put(True)
            elif callback:
                try:
                    callback(Message(head, bulk))
                finally:
                    self._take()
            else:
                self._messages.put(Message(head, bulk))

        def ended(future: Future) -> None:
            ready.put(False)
            self._messages.put(None)
        self._future = tree.connection.service(ROOT, 'channels', 'subscribe', {
            'slot': slot, 'size': size, 'policy': policy}, on_progress=on_progress)
        self._future.add_done_callback(ended)  # type: ignore[arg-type]
        if not ready.get(timeout=SECONDS):
            self._future.result(0)

    def get(self, timeout: float | None = None) -> Message:
        """The next message.  Raises TimeoutError, and ChannelError where none will come."""
        try:
            message = self._messages.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f'no message within {timeout} s') from None
        if message is None:
            self._messages.put(None)
            raise ChannelError('the subscription has ended')
        self._take()
        return message

    def _take(self) -> None:
        """Have more sent, now and then."""
        self._taken += 1
        if self._taken >= AHEAD // 2:
            number, self._taken = self._taken, 0
            with contextlib.suppress(ChannelError):
                self._connection.post(ROOT, CALL_SERVICE, [
                    'channels', 'taken', {'handle': self._future.handle, 'number': number}])

    def __iter__(self) -> Iterator[Message]:
        with contextlib.suppress(ChannelError):
            while True:
                yield self.get()

    def close(self) -> None:
        self._future.cancel()


class Context:
    """A process with an account, an interpreter and a host of its own; its methods work until it ends."""

    def __init__(self, tree: Tree, chain: list[dict[str, Any]], id: int, hello: dict[str, Any]) -> None:
        self.tree, self._chain, self.id = tree, chain, id
        self.name: str = chain[-1]['spec']['name']
        self.user, self.host, self.pid = hello.get('user'), hello.get('host'), hello.get('pid')
        self.python: tuple[int, ...] = tuple(hello.get('python') or ())

    def __repr__(self) -> str:
        return f'<Context {self.id} {self.name}>'

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:
        """Call a function of a module's top level over there, in a process of its own.

        Its code is sent along, with what it imports but for the standard library (closures.py).  Arguments and result:
        what a message may hold.
        """
        return self.tree.connection.request(self.id, CALL_FUNCTION, self.head_of(function, args, kwargs),
                                            convert=lambda answer, bulk: answer['value'])

    def head_of(self, function: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
        """The head of a call, as CALL_FUNCTION has it; the multiplexer gets to know the code."""
        closure = self.tree.closure(function)
        return {'closure': closure.digest, 'function': closure.function, 'args': list(args), 'kwargs': kwargs,
                'isolation': 'fork'}

    def detach(self, seconds: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> jobs.Job:
        """Call a function in a process that leaves this context, and lives on when that or the tree ends, for up to so
        many seconds.  Raises CallError, kind 'os', where its file can't be written."""
        job: jobs.Job = jobs.start(self, seconds, function, args, kwargs).result(SECONDS)
        return job

    def job(self, path: str) -> jobs.Job:
        """A job of this account and host that was begun before, maybe by another program."""
        return jobs.Job(self, path)

    def run(self, *argv: str, stdin: bytes = b'', cwd: str | None = None) -> Future:
        """Run a command; the result is (exit code, stdout, stderr)."""
        return self.tree.connection.service(
            self.id, 'processes', 'exec', {'argv': list(argv), 'cwd': cwd}, stdin,
            convert=lambda answer, bulk: (answer['rc'], bulk[:answer['out']], bulk[answer['out']:]))

    def put(self, source: str, path: str, mode: int = 0o600) -> None:
        """Copy a file there, over a connection of its own."""
        with open(source, 'rb') as file, self.tree.client() as client:
            client.put(self.id, path, chunks(file), mode)

    def get(self, path: str, target: str) -> None:
        """Copy a file from there."""
        with open(target, 'wb') as file, self.tree.client() as client:
            for chunk in client.get(self.id, path):
                file.write(chunk)

    def sudo(self, user: str = 'root', password: str | None = None, python: str = '') -> Context:
        """The context of another account of this host, by sudo(8)."""
        boot = bootstrap.boot_command(_pythons(python))
        words = ['sudo', '-H', '-u', user, *(['-n'] if password is None else ['-S', '-p', PROMPT])]
        return self.via(f'sudo to {user}', [*words, '--', '/bin/sh', '-c', boot], password)

    def interpreter(self, python: str) -> Context:
        """A context of the same account with another Python."""
        return self.via(f'interpreter {python}', ['/bin/sh', '-c', bootstrap.boot_command((python,))])

    def via(self, name: str, argv: list[str], password: str | None = None) -> Context:
        """The context behind a command that is run here and starts a first stage (bootstrap.boot_command)."""
        return self.tree.get([*self._chain, _hop(name, argv)], password)


PROMPT = 'mitosis-password:'


class Tree:
    """A multiplexer and what it leads to; ends with the program, or by `close`.  For all threads of a process, and for
    none of its forks."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix='mitosis-')
        supervisor.connect(self._folder, os.getpid()).close()
        self.connection = Connection(os.path.join(self._folder, SOCKET))
        self._published: set[Future] = set()
        self._closures: weakref.WeakKeyDictionary[Callable[..., Any], Code] = weakref.WeakKeyDictionary()
        if LOGGER.isEnabledFor(logging.INFO):
            self.subscribe(LOG, _log)

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all contexts, and the multiplexer."""
        with contextlib.suppress(ChannelError):
            self.connection.service(ROOT, 'status', 'shutdown', {}).result(SECONDS)
        self.connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # contexts

    def local(self, python: str = '') -> Context:
        """A context on this machine."""
        return self.get([_hop(f'local {python}', ['/bin/sh', '-c', bootstrap.boot_command(_pythons(python))])])

    def ssh(self, host: str, *options: str, python: str = '') -> Context:
        """The context behind a login by ssh(1), which asks nothing; `options` are its own, such as '-p', '2222'."""
        argv = ['ssh', '-T', '-o', 'BatchMode=yes', *options, host, bootstrap.boot_command(_pythons(python))]
        return self.get([_hop(f'ssh {host}', argv)])

    def get(self, chain: list[dict[str, Any]], password: str | None = None) -> Context:
        """The context at the end of a chain of hops, which is started if it is not there; see the `contexts` service.
        Raises CallError: kinds 'exit', 'timeout', 'boot', 'no-python', 'password'."""
        sent = False

        def on_progress(head: dict[str, Any], bulk: bytes) -> None:
            nonlocal sent
            if password is None or PROMPT.encode() not in bulk:
                return
            if sent:
                self._service('abort', {'token': head['token'], 'kind': 'password', 'text': 'wrong password'})
            else:
                sent = True
                self._service('input', {'token': head['token']}, password.encode() + b'\n')
        future = self.connection.service(ROOT, 'contexts', 'get', {'chain': chain}, on_progress=on_progress)
        answer, _bulk = future.result()
        return Context(self, chain, answer['ids'][-1], {str(key): item for key, item in answer['hellos'][-1].items()})

    def _service(self, method: str, args: dict[str, Any], bulk: bytes = b'') -> Future:
        return self.connection.service(ROOT, 'contexts', method, args, bulk)

    def status(self) -> dict[str, Any]:
        """What is there: contexts, links, subscriptions."""
        return dict(self.connection.service(ROOT, 'status', 'status', {}).result(SECONDS)[0])

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A connection of one's own, for one thread."""
        client = Client(os.path.join(self._folder, SOCKET))
        try:
            yield client
        finally:
            client.close()

    def closure(self, function: Callable[..., Any]) -> Code:
        """The closure of a function, known to the multiplexer."""
        found = self._closures.get(function)
        if not found:
            found = closure_of(function)
            missing, _bulk = self.connection.service(ROOT, 'modules', 'define', {
                'payload': found.digest, 'closure': found.digest, 'digests': list(found.files)},
                found.listing).result(SECONDS)
            for digest in missing:
                self.connection.post(ROOT, FORWARD_MODULE, {'digest': digest}, found.deflated(digest))
            self._closures[function] = found
        return found

    # channels

    def subscribe(self, slot: str, callback: Callable[[Message], None] | None = None, size: int = SIZE,
                  policy: str = POLICIES[0]) -> Subscription:
        """Messages that are published to `slot` from now on, and those that were kept.

        Up to `size` bytes wait for this program, besides the AHEAD messages that it may have been sent; beyond that, by
        `policy`, the `oldest` or the `newest` are dropped, and counted, or publishers `block`.  With `callback` each
        message is given to it, in the connection's thread.
        """
        return Subscription(self, slot, callback, size, policy)

    def publish(self, slot: str, value: Any = None, bulk: bytes = b'', keep: bool = False) -> Future:
        """Publish to all programs that have subscribed to `slot`.  The result is their number, when all of those that
        make publishers wait have room.  Raises ValueError for more than CHUNK bytes of bulk."""
        if len(bulk) > CHUNK:
            raise ValueError(f'a publication of {len(bulk)} bytes (at most {CHUNK})')
        head = {'slot': slot, 'value': value, 'keep': keep}
        future = self.connection.service(ROOT, 'channels', 'publish', head, bulk, convert=lambda number, bulk: number)
        self._published.add(future)
        future.add_done_callback(self._published.discard)
        return future

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all that was published here is with its subscribers, or in their queues.  Raises TimeoutError."""
        left = concurrent.futures.wait(list(self._published), timeout).not_done
        if left:
            raise TimeoutError(f'{len(left)} publications are not taken after {timeout} s')

    def writer(self, slot: str) -> Writer:
        """A file, open for writing text, each line of which is published."""
        return Writer(slot, self.publish)


def _log(message: Message) -> None:
    """A line of the multiplexer's log; what contexts publish to this slot is not."""
    if message.source == ROOT:
        LOGGER.log(message.value['level'], '%s: %s', message.value['where'], message.value['text'])


def _hop(name: str, argv: list[str]) -> dict[str, Any]:
    return {'key': shlex.join(argv), 'spec': {'name': name, 'argv': argv, 'timeout': SECONDS}}


def _pythons(python: str) -> tuple[str, ...]:
    return (python,) if python else bootstrap.CANDIDATES
