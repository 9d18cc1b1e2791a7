# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = """
name: inprocess
author: Mitosis contributors
short_description: Reaches its target by means of its own, as libraries do
version_added: 0.1.0
description: It starts no command that could be found; here the target is this machine.
options: {}
"""

import os
import shutil
import tempfile

from ansible.plugins.connection import ConnectionBase


class Connection(ConnectionBase):
    """A child process that nobody else could start."""

    transport = 'inprocess'
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            told.write(in_data or b'')
            told.seek(0)
            ends = [(os.POSIX_SPAWN_DUP2, file.fileno(), fd) for fd, file in enumerate((told, out, err))]
            pid = os.posix_spawn('/bin/sh', ['/bin/sh', '-c', cmd], os.environ, file_actions=ends)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            out.seek(0)
            err.seek(0)
            return code, out.read(), err.read()

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        shutil.copyfile(in_path, out_path)

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        shutil.copyfile(in_path, out_path)

    def close(self):
        self._connected = False
