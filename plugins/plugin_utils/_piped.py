"""The first hop of a chain for any connection plugin that runs a local command: docs/decisions/0017-any-connection.md.

The plugin's own exec_command is asked to run our first stage; whatever it would start to do so is noted, not started.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ...mitogen_core.wire.errors import CallError
from . import _runtime
from ._baton import waiting
from ._compat.options import told
from ._login import Run, Stock, key_of

POPEN = inspect.signature(subprocess.Popen)
# Modules of what has a plugin of ours.  (Those of a user's own folder have names like these.)
OF_ANSIBLE_CORE = {'ansible.plugins.connection.ssh', 'ansible.plugins.connection.local'}
# Runs anywhere, and does nothing.
ASKED = 'true MITOSISASKED'
# Says what it was told.
PROBE = 'read MITOSISPROBE; echo "heard $MITOSISPROBE"'
PROBE_SECONDS = 30
# Plugins whose library has a command that does the same.
LIBRARIES: dict[str, Callable[[Any, str], list[str]]] = {
    'community.general.lxc': lambda connection, line: [
        'lxc-attach', '--clear-env', '--name', str(connection.get_option('remote_addr')), '--',
        *shlex.split(line)],
}


# How a plugin's command is fed.
AS_IT_IS, INTERACTIVE, NOT = 'as it is', 'interactive', 'not'


class Command(BaseException):
    """What a plugin would start; not an Exception, so that no plugin takes it for a failure of its own."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: str | None) -> None:
        super().__init__(argv)
        self.argv, self.env, self.cwd = argv, env, cwd

    def fed(self, manner: str, run: Run | None) -> list[str]:
        """argv that is fed in this manner: `podman exec` and its kin want a word for it."""
        argv = there(self.argv) if run else self.argv
        if manner != INTERACTIVE or 'exec' not in argv:
            return argv
        at = argv.index('exec') + 1
        return [*argv[:at], '-i', *argv[at:]]

    def hears(self, manner: str, run: Run | None) -> bool:
        """Does what it starts, the PROBE, hear what it is told?"""
        argv, word = self.fed(manner, run), b'word\n'
        with contextlib.suppress(OSError, subprocess.SubprocessError), waiting():
            if run:
                return b'heard word' in run(argv, word)[1]
            done = subprocess.run(argv, input=word, capture_output=True, timeout=PROBE_SECONDS, check=False,
                                  env={**os.environ, **self.env}, cwd=self.cwd)
            return b'heard word' in done.stdout
        return False


def there(argv: list[str]) -> list[str]:
    """For another host: a program that was looked for here is looked for there."""
    name = os.path.basename(argv[0])
    return [name, *argv[1:]] if shutil.which(name) == argv[0] else argv


def runs_commands(cls: type) -> bool:
    """Does a connection class start programs, as far as its modules tell?"""
    # What is made of one of these changes just what that does with commands and files.
    if any(base.__module__ in OF_ANSIBLE_CORE for base in cls.__mro__):
        return False
    for base in cls.__mro__:
        if base.__module__ == 'ansible.plugins.connection':
            return False
        names = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
        if names.get('subprocess') is subprocess or names.get('Popen') is subprocess.Popen \
                or names.get('transport') in LIBRARIES or vars(base).get('transport') in LIBRARIES:
            return True
    return False


class Piped:
    """A login by whatever command the plugin would run."""

    tells_home = False

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._name = str(connection.transport)
        if connection.login_key is None:
            connection.login_key = self._key()
        self.key: str = connection.login_key

    def _key(self) -> str:
        connection, context = self._connection, self._connection._play_context
        return key_of(self._name, connection._load_name, told(connection), context.remote_addr, context.remote_user,
                      context.port, context.executable)

    def spec(self, remote: str, timeout: int, run: Run | None = None) -> tuple[dict[str, Any], Callable[[], None]]:
        manner = self._manner(run)
        command = self._command(self._line(remote), run) if manner != NOT else None
        if command is None:
            raise Stock(f'{self._name} connection')
        address = self._connection._play_context.remote_addr
        return {'name': f'{self._name.rpartition(".")[2]} to {address}', 'argv': command.fed(manner, run),
                'env': command.env, 'cwd': None if run else command.cwd or os.getcwd(),
                'timeout': timeout}, lambda: None

    def failed(self, error: CallError, retries_left: int) -> None:
        """Where its command ended, stock's own way tells best why."""
        if error.kind == 'timeout':
            raise AnsibleConnectionFailure(f'{error.text} while waiting for its command to start our code')

    def answer(self, said: bytes) -> bytes | None:
        """Such commands ask for nothing."""

    def run(self, line: str, data: bytes, run: Run) -> tuple[int, bytes, bytes]:
        """A shell's line, from another host, where no context can be."""
        with waiting(), watched(None, run):
            code, out, err = self._connection.stock_exec(line, data)
        return int(code), encoded(out), encoded(err)

    def _manner(self, run: Run | None) -> str:
        """How its command is fed, or NOT.  Found out once in a run."""
        if self._name in LIBRARIES:
            return AS_IT_IS if run is not None or shutil.which('lxc-attach') else NOT
        path = os.path.join(_runtime.folder(), 'piped-' + re.sub(r'[^\w.-]', '_', self._connection._load_name))
        with contextlib.suppress(OSError), open(path, encoding='ascii') as notes:
            return notes.read()
        found, for_all = self._find_manner(run)
        if for_all:
            with open(f'{path}.{os.getpid()}.{threading.get_ident()}', 'w', encoding='ascii') as notes:
                notes.write(found)
            os.replace(notes.name, path)
        return found

    def _find_manner(self, run: Run | None) -> tuple[str, bool]:
        """(manner, is it the plugin's for all hosts?)."""
        try:
            command = self._command(self._line(ASKED), run)
        except AnsibleConnectionFailure:
            raise
        except Exception:  # it will say so again, the stock way
            return NOT, False
        if command is None or self._connection.pipelines_itself():
            return (AS_IT_IS if command else NOT), True
        # It never feeds modules to its command: perhaps that does not listen.
        probe = self._command(self._line(PROBE), run) or command
        found = next((manner for manner in (AS_IT_IS, INTERACTIVE) if probe.hears(manner, run)), NOT)
        return found, found != NOT

    def _line(self, remote: str) -> str:
        """As Ansible has a command line."""
        executable = self._connection._play_context.executable or '/bin/sh'
        return f'{executable} -c {shlex.quote(remote)}'

    def _command(self, line: str, run: Run | None) -> Command | None:
        """What the plugin starts for a line.  Its own errors are the task's."""
        library = LIBRARIES.get(self._name)
        if library:
            self._connection._connect()
            return Command(library(self._connection, line), {}, None)
        mark = max(re.findall('[A-Za-z0-9]+', line), key=len)
        # Some listen only if there is something to hear, others refuse to.
        data = b'\n' if self._connection.pipelines_itself() else None
        with waiting(), watched(mark, run) as others:
            try:
                self._connection.stock_exec(line, data)
            except Command as found:
                # What needs another process beside it (a tunnel) would not outlive this one.
                return None if any(process.poll() is None for process in others) else found
        return None


def encoded(text: str | bytes) -> bytes:
    return text.encode('utf-8', 'surrogateescape') if isinstance(text, str) else text


# What each thread watches for.
_mine = threading.local()
_installing = threading.Lock()
_installed = 0
_real: Any = None


@contextlib.contextmanager
def watched(mark: str | None, run: Run | None) -> Iterator[list[Any]]:
    """Meanwhile a program that this thread starts with `mark` among its arguments raises Command.  With `run`, others
    are run by it; without, they come into the list."""
    global _installed, _real
    before = getattr(_mine, 'watch', None)
    with _installing:
        if not _installed:
            _real = subprocess.Popen.__init__
            subprocess.Popen.__init__ = _init  # type: ignore[method-assign]
        _installed += 1
    others: list[Any] = []
    _mine.watch = mark, run, others
    try:
        yield others
    finally:
        _mine.watch = before
        with _installing:
            _installed -= 1
            if not _installed:
                subprocess.Popen.__init__ = _real  # type: ignore[method-assign]


def _init(self: Any, *args: Any, **kwargs: Any) -> None:
    """Of subprocess.Popen, where somebody watches."""
    watch = getattr(_mine, 'watch', None)
    if watch:
        mark, run, others = watch
        given = POPEN.bind(*args, **kwargs).arguments
        argv = arguments(given)
        if mark and any(mark in arg for arg in argv):
            raise Command(argv, environment(given.get('env')), given.get('cwd') and os.fsdecode(given['cwd']))
        if run:
            return Answered.init(self, run, argv, given)
        others.append(self)
    _real(self, *args, **kwargs)


def arguments(given: dict[str, Any]) -> list[str]:
    """argv of what subprocess.Popen was given."""
    args = given['args']
    argv = [os.fsdecode(args)] if isinstance(args, (str, bytes, os.PathLike)) else [os.fsdecode(arg) for arg in args]
    executable = given.get('executable')
    if given.get('shell'):
        return [os.fsdecode(executable or '/bin/sh'), '-c', *argv]
    return [os.fsdecode(executable), *argv[1:]] if executable else argv


def environment(given: Any) -> dict[str, str]:
    """What differs from this process's."""
    pairs = {os.fsdecode(name): os.fsdecode(value) for name, value in (given or {}).items()}
    return {name: value for name, value in pairs.items() if os.environ.get(name) != value}


class Answered:
    """A Popen of a program that `run` runs: at once, or, where it may be told something, when it has been."""

    # No process has it.
    PID = 1 << 30

    @staticmethod
    def init(process: Any, run: Run, argv: list[str], given: dict[str, Any]) -> None:
        text = bool(given.get('text') or given.get('universal_newlines') or given.get('encoding'))
        process.args, process.returncode, process.pid, process.stdin = argv, None, Answered.PID, None
        process.stdout = process.stderr = None
        output: list[Any] = []

        def communicate(input: Any = None, timeout: Any = None) -> tuple[Any, Any]:
            if not output:
                watch, _mine.watch = getattr(_mine, 'watch', None), None  # what it takes is not the plugin's
                env = [f'{name}={value}' for name, value in environment(given.get('env')).items()]
                try:
                    code, *streams = run([*(['env', *env] if env else []), *there(argv)], encoded(input or b''))
                finally:
                    _mine.watch = watch
                if given.get('stderr') == subprocess.STDOUT:
                    streams = [b''.join(streams), b'']
                output[:] = [stream.decode('utf-8', 'surrogateescape') if text else stream for stream in streams]
                process.returncode = code
            return output[0], output[1]

        def wait(timeout: Any = None) -> int:
            communicate()
            return int(process.returncode)
        process.communicate, process.wait, process.poll = communicate, wait, wait
        if given.get('stdin') != subprocess.PIPE:
            communicate()
            process.stdout, process.stderr = (io.StringIO(data) if text else io.BytesIO(data) for data in output)
