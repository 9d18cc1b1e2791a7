"""How the stock ssh plugin would reach its host, as a command that somebody else can run.

`Connection._build_command`: 2.16-2.21.  Up to 2.18 it puts sshpass in front by itself and opens a pipe for it; from
2.19 on `_sshpass_cmd` does that, and `_init_shm` prepares SSH_ASKPASS.
`_handle_error`, which knows the messages: 2.16-2.21.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ssh as stock

from . import Unknown

# What ssh itself reads from the environment, and may differ between plays.
ENVIRONMENT = ('SSH_AUTH_SOCK', 'SSH_ASKPASS', 'SSH_ASKPASS_REQUIRE', 'DISPLAY', 'HOME', 'PATH')
PLACEHOLDER = 'MITOSIS-BOOT'


class Command:
    """argv of an ssh client; where the password goes, and the name under which its result may be shared."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        if not hasattr(connection, '_build_command'):
            raise Unknown('ssh.Connection._build_command')
        connection.host = connection.get_option('host') or connection._play_context.remote_addr
        self.password = connection.get_option('password') or connection._play_context.password
        executable = connection.get_option('ssh_executable')
        argv = connection._build_command(executable, 'ssh', '-T', connection.host, PLACEHOLDER)
        if hasattr(connection, '_sshpass_cmd'):
            argv = [*connection._sshpass_cmd(), *argv]
        self._close_pipe()
        self.argv = [arg.decode('utf-8', 'surrogateescape') for arg in argv]
        self.password_fd = self._sshpass_argument()
        self._own_link()

    def _close_pipe(self) -> None:
        for fd in getattr(self._connection, 'sshpass_pipe', None) or ():
            os.close(fd)
        self._connection.sshpass_pipe = None

    def _sshpass_argument(self) -> int | None:
        if os.path.basename(self.argv[0]) != 'sshpass':
            return None
        for index, arg in enumerate(self.argv[:4]):
            if arg.startswith('-d') and arg[2:].isdigit():
                self.argv[index] = '-d'
                return index
        raise Unknown('the arguments of sshpass')

    def _own_link(self) -> None:
        """No part in the ControlPersist of stock tasks: this link must end with us, and be what its options say."""
        ssh = self.argv.index(self._connection.get_option('ssh_executable'))
        control_path = self._connection.control_path
        if control_path:
            self.argv = [arg for i, arg in enumerate(self.argv)
                         if not (arg.startswith('ControlPath=') or
                                 (arg == '-o' and self.argv[i + 1].startswith('ControlPath=')))]
        self.argv[ssh + 1:ssh + 1] = ['-o', 'ControlMaster=no', *(['-o', 'ControlPath=none'] if control_path else [])]
        # After the user's own options, which so come first.
        # ssh's own life signs count until ours can be heard, and then must not end the link sooner.
        interval = int(self._connection.get_option('mitosis_alive_interval'))
        timeout = int(self._connection.get_option('mitosis_alive_timeout'))
        count = max(timeout, 2 * interval) // interval + 2 if interval > 0 else 3
        self.argv[-3:-3] = ['-o', f'ServerAliveInterval={max(interval, 0)}', '-o', f'ServerAliveCountMax={count}']

    @property
    def identity(self) -> list[str]:
        """Equal for equal ways to log in, credentials included."""
        return [*self.argv, str(self.password or ''), *self._environment().values()]

    @property
    def secret(self) -> bytes:
        """The password.  Up to 2.18 one of the command line is of a class of ansible-core's, and so is what it is
        encoded to."""
        return bytes(bytearray(str(self.password).encode('utf-8', 'surrogateescape')))

    def _environment(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}

    def spec(self, remote: str, timeout: int) -> tuple[dict[str, Any], Callable[[], None]]:
        """What the multiplexer needs to run it with `remote` as the command, and a function to call after that."""
        connection = self._connection
        environment = self._environment()

        def release() -> None:
            pass
        if hasattr(connection, '_init_shm'):
            more = connection._init_shm().get('env')
            if more:
                environment.update((key, value) for key, value in more.items() if os.environ.get(key) != value)

                def release() -> None:
                    # What a stock run does at its end: the decorator removes the shared memory.
                    stock._clean_resources(lambda self: None)(connection)
        argv = [*self.argv[:-1], remote]
        spec = {'name': f'ssh to {connection.host}', 'argv': argv, 'env': environment, 'cwd': os.getcwd(),
                'timeout': timeout, 'password_fd': self.password_fd}
        if self.password_fd is not None:
            spec['password'] = self.secret
        return spec, release

    def from_terminal(self, remote: str, timeout: int) -> dict[str, Any]:
        """The same for another host, which may not have sshpass and has no shared memory with this one: it asks for the
        password on a terminal, once."""
        ssh = self.argv.index(self._connection.get_option('ssh_executable'))
        return {'name': f'ssh to {self._connection.host}', 'timeout': timeout, 'tty': True, 'argv': [
            self.argv[ssh], '-o', 'NumberOfPasswordPrompts=1', *self.argv[ssh + 1:-3],
            # Behind the user's own: nobody would say yes.
            '-o', 'StrictHostKeyChecking=yes', *self.argv[-3:-1], remote]}

    def fail(self, code: int, out: bytes, err: bytes, retries_left: int) -> None:
        """Raise what stock Ansible would raise at this end of an ssh client; returns where it would not raise."""
        connection = self._connection
        if self.password and connection.get_option('host_key_checking') and (
                (self.password_fd is not None and code == 6) or b'Host key verification failed' in err
                or b"read_passphrase: can't open /dev/tty" in err):
            raise AnsibleError('Using a SSH password instead of a key is not possible because Host Key checking is '
                               "enabled. Please add this host's fingerprint to your known_hosts file to manage this "
                               'host.')
        first = b'sshpass' if self.password_fd is not None else b'ssh'
        stock._handle_error(retries_left, first, (code, out, err), connection._play_context.no_log, connection.host)
        if code == 255:
            raise AnsibleConnectionFailure('Failed to connect to the host via ssh')
