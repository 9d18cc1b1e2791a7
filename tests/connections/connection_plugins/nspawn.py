# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A connection plugin as third parties write them: one program that runs a command in a container."""

from __future__ import annotations

DOCUMENTATION = """
name: nspawn
author: the authors of mitosis.express
short_description: Run tasks in a folder, by systemd-nspawn
description:
  - Each command is run by a C(systemd-nspawn) of its own, and has processes and a C(/run) of its own. What it leaves
    running, an C(async) job for example, ends with it.
options:
  remote_addr:
    description: The folder that is the container's root.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_nspawn_host
  executable:
    description: The shell that runs commands.
    type: str
    default: /bin/sh
    vars:
      - name: ansible_executable
      - name: ansible_nspawn_executable
  nspawn_executable:
    description: The program systemd-nspawn.
    type: str
    default: systemd-nspawn
    vars:
      - name: ansible_nspawn_exe
    env:
      - name: ANSIBLE_NSPAWN_EXE
  nspawn_extra_args:
    description: Further arguments for systemd-nspawn.
    type: str
    default: ''
    vars:
      - name: ansible_nspawn_extra_args
"""

import os
import shlex
import subprocess

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.module_utils.common.process import get_bin_path
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

display = Display()


class Connection(ConnectionBase):
    """Commands in a folder, each by a systemd-nspawn of its own"""

    transport = 'nspawn'
    has_pipelining = True
    default_user = 'root'

    def _connect(self):
        if not self._connected:
            try:
                self._nspawn = get_bin_path(self.get_option('nspawn_executable'))
            except ValueError as error:
                raise AnsibleConnectionFailure(str(error)) from error
            self._root = self.get_option('remote_addr')
            if not os.path.isdir(self._root):
                raise AnsibleConnectionFailure('%s is not a folder' % self._root)
            self._connected = True
        return self

    def _popen(self, cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE):
        argv = [self._nspawn, '--quiet', '-D', self._root, '--pipe', '--register=no', '--keep-unit']
        argv += shlex.split(self.get_option('nspawn_extra_args'))
        argv += ['--', self.get_option('executable'), '-c', cmd]
        display.vvv('EXEC %s' % shlex.join(argv), host=self._root)
        # Two at a time may run in one folder, and find what the other one left in /tmp.
        environment = dict(os.environ, SYSTEMD_NSPAWN_LOCK='0', SYSTEMD_NSPAWN_TMPFS_TMP='0')
        argv = [to_bytes(word, errors='surrogate_or_strict') for word in argv]
        return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=environment)

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        process = self._popen(cmd)
        stdout, stderr = process.communicate(in_data)
        return process.returncode, stdout, stderr

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        self._connect()
        if not os.path.exists(to_bytes(in_path, errors='surrogate_or_strict')):
            raise AnsibleFileNotFound('no file %s' % in_path)
        with open(to_bytes(in_path, errors='surrogate_or_strict'), 'rb') as source:
            process = self._popen('cat >%s' % shlex.quote(out_path), stdin=source)
            _stdout, stderr = process.communicate()
        if process.returncode:
            raise AnsibleError('failed to put %s: %s' % (out_path, to_text(stderr)))

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        self._connect()
        with open(to_bytes(out_path, errors='surrogate_or_strict'), 'wb') as target:
            process = self._popen('cat %s' % shlex.quote(in_path), stdin=subprocess.DEVNULL, stdout=target)
            _stdout, stderr = process.communicate()
        if process.returncode:
            raise AnsibleError('failed to fetch %s: %s' % (in_path, to_text(stderr)))

    def close(self):
        self._connected = False
