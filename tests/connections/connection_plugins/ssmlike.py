# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""As somebody else might write it: nothing in here knows of Mitosis."""

from __future__ import annotations

DOCUMENTATION = """
name: ssmlike
short_description: Reach a machine by a session service's client
description:
  - Runs commands by C(ssmlike start-session), which takes the shell line in a parameter that is JSON.
author: Mitosis contributors
options:
  remote_addr:
    description: The session service's name of the machine.
    type: string
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_ssmlike_target
  executable:
    description: The session service's client.
    type: string
    default: ssmlike
    vars:
      - name: ansible_ssmlike_executable
  region:
    description: Where the machine is.
    type: string
    default: north
    vars:
      - name: ansible_ssmlike_region
"""

import json
import shlex
import subprocess

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase


class Connection(ConnectionBase):
    """Connection by sessions."""

    transport = 'ssmlike'
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def _session(self, line, in_data=None, **more):
        parameters = json.dumps({'command': [to_text(line, errors='surrogate_or_strict')]})
        argv = [self.get_option('executable'), 'start-session', '--target', self.get_option('remote_addr'),
                '--region', self.get_option('region'), '--parameters', parameters]
        self._display.vvv(f'SESSION {argv}', host=self.get_option('remote_addr'))
        argv = [to_bytes(word, errors='surrogate_or_strict') for word in argv]
        try:
            process = subprocess.Popen(argv, **{'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE,
                                                'stderr': subprocess.PIPE, **more})
        except OSError as e:
            raise AnsibleError(f'failed to run {self.get_option("executable")}: {e}') from e
        stdout, stderr = process.communicate(in_data)
        if process.returncode == 254 and b'An error occurred (' in stderr:
            raise AnsibleConnectionFailure(to_text(stderr).strip())
        return process.returncode, stdout, stderr

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._session(cmd, to_bytes(in_data, nonstring='passthru'))

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        with open(to_bytes(in_path, errors='surrogate_or_strict'), 'rb') as file:
            code, _, stderr = self._session(f'cat > {shlex.quote(out_path)}', stdin=file)
        if code:
            raise AnsibleError(f'failed to transfer file {in_path} to {out_path}: {to_text(stderr)}')

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        with open(to_bytes(out_path, errors='surrogate_or_strict'), 'wb') as file:
            code, _, stderr = self._session(f'cat {shlex.quote(in_path)}', stdout=file)
        if code:
            raise AnsibleError(f'failed to transfer file {in_path} from the target: {to_text(stderr)}')

    def close(self):
        self._connected = False
