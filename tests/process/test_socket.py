"""Who may speak to the multiplexer: processes of its own user."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from mitogen_core.controller.client import SOCKET
from tests.support import leaks
from tests.support.engine import Engine

NOBODY = 65534


def test_its_folder_is_its_users(engine: Engine):
    status = engine.folder.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.getuid(), 0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can be another user too')
def test_another_user_is_refused(engine: Engine):
    """Even if the way to the socket were open."""
    path = engine.folder / SOCKET
    opened = [folder for folder in (path, *path.parents) if folder.stat().st_uid == 0]
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in opened}
    for folder, mode in modes.items():
        folder.chmod(mode | (0o666 if folder == path else 0o711))
    try:
        pid = os.fork()
        if not pid:
            code = 9
            try:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                link = socket.socket(socket.AF_UNIX)
                link.settimeout(20)
                link.connect(str(path))
                # The end, and not a word.
                code = 0 if link.recv(1) == b'' else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
    leaks.wait_until(lambda: 'a process of another user tried to connect' in engine.logged(), 'a line in the log')
    assert engine.status()['clients'] == 1
