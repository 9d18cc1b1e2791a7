"""Who may speak to the multiplexer, and whom clients take for it: processes of one user."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator

import pytest

from mitogen_core.controller import supervisor
from mitogen_core.controller.client import SOCKET, Client, StartError
from tests.support import leaks
from tests.support.engine import Engine

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason='only root can be another user too')


def as_nobody(action: Callable[[], bool]) -> int:
    """The pid of a process of another user that ends well if action() is true."""
    pid = os.fork()
    if pid:
        return pid
    code = 9
    try:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        code = 0 if action() else 1
    finally:
        os._exit(code)


def ended_well(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_its_folder_is_its_users(engine: Engine):
    status = engine.folder.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.getuid(), 0o700)


@as_root
def test_another_user_is_refused(engine: Engine):
    """Even if the way to the socket were open."""
    path = engine.folder / SOCKET
    opened = [folder for folder in (path, *path.parents) if folder.stat().st_uid == 0]
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in opened}
    for folder, mode in modes.items():
        folder.chmod(mode | (0o666 if folder == path else 0o711))
    try:
        def intrude() -> bool:
            link = socket.socket(socket.AF_UNIX)
            link.settimeout(20)
            link.connect(str(path))
            return link.recv(1) == b''  # the end, and not a word
        assert ended_well(as_nobody(intrude))
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    leaks.wait_until(lambda: 'a process of another user tried to connect' in engine.logged(), 'a line in the log')
    assert engine.status()['clients'] == 1


# Somebody was there first.


def elsewhere(folder: pathlib.Path) -> pathlib.Path:
    """What must stay as it is."""
    found = folder.parent / 'elsewhere'
    found.mkdir(mode=0o700)
    return found


def make_link(folder: pathlib.Path) -> None:
    folder.symlink_to(elsewhere(folder))


def make_open(mode: int) -> Callable[[pathlib.Path], None]:
    def make(folder: pathlib.Path) -> None:
        folder.mkdir()
        folder.chmod(mode)
    return make


def make_foreign(folder: pathlib.Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)


PLACES = [pytest.param(make_link, id='link'), pytest.param(pathlib.Path.touch, id='file'),
          *(pytest.param(make_open(mode), id=oct(mode)) for mode in (0o777, 0o1777, 0o750, 0o710, 0o705, 0o701)),
          pytest.param(make_foreign, id='foreign', marks=as_root)]


@contextlib.contextmanager
def run_of_its_own() -> Iterator[int]:
    """The pid of a process that stands for ansible-playbook."""
    with subprocess.Popen(['cat'], stdin=subprocess.PIPE) as process:
        yield process.pid


@pytest.mark.parametrize('make', PLACES)
def test_a_folder_of_somebody_else(tmp_path: pathlib.Path, clean: str, make: Callable[[pathlib.Path], None]):
    """Nothing is started there, written there or sent there; a multiplexer that is told to go there does not."""
    folder = tmp_path / 'engine'
    make(folder)
    with run_of_its_own() as pid:
        with pytest.raises(StartError, match='it is not a folder of this user alone'):
            supervisor.connect(str(folder), pid)
        assert [each.pid for each in leaks.marked(clean)] == [pid]
        with pytest.raises(StartError, match='it is not a folder of this user alone'):
            supervisor.ready(supervisor.start(str(folder), pid))
    assert [path.name for path in tmp_path.rglob('*') if path.name in (SOCKET, supervisor.LOCK)] == []


@pytest.mark.parametrize('make', PLACES[:1] + PLACES[2:])
def test_a_socket_in_a_folder_of_somebody_else(tmp_path: pathlib.Path, make: Callable[[pathlib.Path], None]):
    folder = tmp_path / 'engine'
    make(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        listener.listen()
        with pytest.raises(PermissionError):
            Client(str(folder / SOCKET))
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


@as_root
def test_a_socket_of_somebody_else(tmp_path: pathlib.Path):
    """A forged multiplexer, even in the right place, hears nothing."""
    folder = tmp_path / 'engine'
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / SOCKET))
        ready, told = os.pipe()

        def forge() -> bool:
            listener.listen()  # from here on it is this process's
            os.write(told, b'.')
            listener.settimeout(20)
            return listener.accept()[0].recv(1) == b''
        pid = as_nobody(forge)
        os.read(ready, 1)
        with pytest.raises(PermissionError, match='a process of another user listens there'):
            Client(str(folder / SOCKET))
        assert ended_well(pid)
        os.close(ready)
        os.close(told)


def test_a_link_for_its_lock(tmp_path: pathlib.Path):
    folder = tmp_path / 'engine'
    folder.mkdir(mode=0o700)
    (folder / supervisor.LOCK).symlink_to(tmp_path / 'made')
    with run_of_its_own() as pid, pytest.raises(StartError):
        supervisor.connect(str(folder), pid)
    assert not (tmp_path / 'made').exists()


def test_a_parent_that_all_may_write_to(tmp_path: pathlib.Path, clean: str):
    """What counts is the folder itself, and who is at the other end."""
    base = tmp_path / 'open'
    base.mkdir()
    base.chmod(0o777)
    engine = Engine(base, clean)
    try:
        assert engine.status()['clients'] == 1
    finally:
        engine.stop()
