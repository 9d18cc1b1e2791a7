"""The multiplexer as a process: starting it once, and ending it with the run."""

from __future__ import annotations

import fcntl
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

from .client import PROFILE, SOCKET, Client, StartError, address

START_SECONDS = 30
LOCK = 'mux.lock'


def command(folder: str, watched: int, log: str = '') -> list[str]:
    """How to start a multiplexer that listens in `folder` until process `watched` ends; `log`: Ansible's, if there is
    one."""
    root = str(pathlib.Path(__file__).resolve().parent.parent.parent)
    code = (f'import sys;sys.path.insert(0,{root!r});sys.dont_write_bytecode={sys.dont_write_bytecode!r};'
            'from mitogen_core.controller.supervisor import main;main()')
    return [sys.executable, '-I', '-S', '-c', code, folder, str(watched), log]


def start(folder: str, watched: int, log: str = '') -> subprocess.Popen[bytes]:
    """Start it; the process returned ends with 0 as soon as the real one listens."""
    environ = dict(os.environ)
    if environ.get(PROFILE):
        environ[PROFILE] = os.path.abspath(environ[PROFILE])
    return subprocess.Popen(command(folder, watched, log), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True, cwd='/', env=environ)


def ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until a started multiplexer listens.  Raises StartError."""
    try:
        output = process.communicate(timeout=START_SECONDS)[0]
    except subprocess.TimeoutExpired as e:
        process.kill()
        process.communicate()
        raise StartError(f'the multiplexer was not ready after {START_SECONDS} s') from e
    if process.returncode:
        raise StartError('the multiplexer did not start: ' + output.decode('utf-8', 'replace').strip()[-500:])


def connect(folder: str, watched: int, log: str = '') -> Client:
    """A client of the multiplexer of `folder`, which is started where it is missing.

    `folder` belongs to this user alone and exists.  Raises StartError.
    """
    path = os.path.join(folder, SOCKET)
    try:
        return Client(path)
    except OSError:
        pass
    lock = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return Client(path)
        except OSError:
            ready(start(folder, watched, log))
            return Client(path)
    except OSError as e:
        raise StartError(f'the multiplexer can not be reached: {e.strerror}') from e
    finally:
        os.close(lock)


# in the multiplexer's process


def main() -> None:
    """argv: folder, pid to watch, Ansible's log."""
    folder, watched, log = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    path = os.path.join(folder, SOCKET)
    fd = watch_process(watched)
    listener = bind(path)
    ours = os.stat(path).st_ino
    from .log import Log
    from .multiplexer import Multiplexer
    # The starter waits for this end, and so for a socket that is listened to; the rest lives on by itself.
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(null, target)
    os.close(null)
    raise_limit()
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mux = Multiplexer(listener, Log(os.environ.get('MITOSIS_LOG', ''), log), folder)
    if os.environ.get(PROFILE):
        from .profile import Contexts
        mux.profile = Contexts(mux, os.environ[PROFILE])
    signal.signal(signal.SIGUSR1, lambda *_: mux.loop.soon(mux.status.dump))
    signal.signal(signal.SIGTERM, lambda *_: mux.loop.stop())
    when_ended(mux.loop, watched, fd, mux.loop.stop)
    try:
        mux.run()
    except BaseException:
        mux.log.error('the multiplexer ends')
        raise
    finally:
        try:
            # A successor may already be there.
            if os.stat(path).st_ino == ours:
                shutil.rmtree(folder)
        except OSError:
            pass
        os._exit(0)


def bind(path: str) -> socket.socket:
    """A listening socket at `path`; one that a dead process left there is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    with address(path) as short:
        listener.bind(short)
    os.chmod(path, 0o600)
    listener.listen(512)
    return listener


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end of a Unix socket; None where the system does not tell."""
    if hasattr(socket, 'SO_PEERCRED'):
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i'))
        return int(struct.unpack('3i', data)[1])
    return None


def raise_limit() -> None:
    """As many open files as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, 65536), hard))
        except (ValueError, OSError):
            pass


def watch_process(pid: int) -> int:
    """A descriptor that becomes readable when process `pid` ends; -1 where the system has none or it has ended."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def when_ended(loop: object, pid: int, fd: int, callback: Callable[[], None]) -> None:
    """Call back at the end of a process that is no child of this one."""
    if fd >= 0:
        loop.watch(fd, callback)  # type: ignore[attr-defined]
        return

    def look() -> None:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            callback()
        except PermissionError:
            pass
        loop.later(0.5, look)  # type: ignore[attr-defined]
    look()

