"""Hosts that can't be logged in to, or are strange when one is in: one run with all of them, next to a healthy one."""

from __future__ import annotations

import pathlib
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.support import report
from tests.integration.support.control import WAYS, Control, Core, Finished
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(480)

PLAY = '''
- name: ping
  ping:
  ignore_errors: true
  ignore_unreachable: true
- name: raw
  raw: echo alive
'''
# A Python that says it is 2.5.
OLD_PYTHON = '''#!/usr/bin/python3
import collections, sys
Version = collections.namedtuple('Version', 'major minor micro releaselevel serial')
sys.version_info, sys.version = Version(2, 5, 4, 'final', 0), '2.5.4 (a stub)'
if '-c' in sys.argv:
    code, sys.argv[:] = sys.argv[2], ['-c'] + sys.argv[3:]
else:
    code = sys.stdin.read()
exec(compile(code, '<string>', 'exec'), {'__name__': '__main__'})
'''
OLD = '/usr/local/bin/old-python'
MOVE = 'for p in /usr/bin/{pattern} /usr/local/bin/{pattern}; do [ ! -L $p -a ! -e $p ] || mv $p ${{p%/*}}/{target}; done'
REFUSED = 'Permission denied'
# host -> variables, event and message of ping, event of raw; message None: all is well.
HOSTS: dict[str, tuple[str, str, str | None, str]] = {
    'healthy': ('', 'ok', None, 'ok'),
    'down': ('ansible_host={network}.250 ansible_timeout=2', 'unreachable', r'connect to host \S+ port 22: '
             r'(Connection timed out|No route to host)', 'unreachable'),
    'no_such_name': ('ansible_host=no-such-name.invalid', 'unreachable', 'Could not resolve hostname', 'unreachable'),
    'refused': ('ansible_port=9', 'unreachable', 'port 9: Connection refused', 'unreachable'),
    'wrong_key': ('ansible_ssh_private_key_file={folder}/other_key', 'unreachable', REFUSED, 'unreachable'),
    'wrong_password': ('ansible_user=m_plain ansible_password=wrong ansible_ssh_private_key_file= '
                       'ansible_ssh_extra_args="-o PubkeyAuthentication=no"', 'unreachable',
                       REFUSED + '|Invalid/incorrect password', 'unreachable'),
    'changed_key': ('ansible_ssh_common_args="-o UserKnownHostsFile={folder}/changed -o GlobalKnownHostsFile=/dev/null"',
                    'unreachable', 'REMOTE HOST IDENTIFICATION HAS CHANGED', 'unreachable'),
    'unknown_key': ('ansible_ssh_common_args="-o UserKnownHostsFile={folder}/none -o GlobalKnownHostsFile=/dev/null"',
                    'unreachable', 'Host key verification failed', 'unreachable'),
    'no_python': ('ansible_host={t4}', 'failed', r'not found', 'ok'),
    'no_python_auto': ('ansible_host={t4} ansible_python_interpreter=auto', 'failed', r'not found|interpreter', 'ok'),
    'old_python': ('ansible_host={t3} ansible_python_interpreter=/usr/local/bin/old-python', 'failed',
                   r'requires (a minimum of )?Python.* 2\.5\.4', 'ok'),
    'fish': ('ansible_user=m_fish', 'ok', None, 'ok'),
    'csh': ('ansible_user=m_csh', 'ok', None, 'ok'),
    'banner': ('ansible_user=m_banner', 'ok', None, 'ok'),
    'no_login': ('ansible_user=m_nologin', 'failed', 'This account is currently not available', 'failed'),
}
TITLES = {
    'down': 'The host is down', 'no_such_name': 'Nobody knows the name of the host', 'refused': 'Connection refused',
    'wrong_key': 'Wrong key', 'wrong_password': 'Wrong password', 'changed_key': "The host's key has changed",
    'unknown_key': "The host's key is not known", 'no_python': 'No Python on the target (`raw` works)',
    'no_python_auto': 'No Python, and `ansible_python_interpreter=auto` (`raw` works)',
    'old_python': 'A Python that is too old', 'no_login': 'An account without a login shell'}


@pytest.fixture(scope='module')
def strange(network: Hosts) -> Iterator[Hosts]:
    """t3 has an old Python, t4 has none."""
    network.exec('t3', 'sh', '-c', f"cat >{OLD} <<'E'\n{OLD_PYTHON}E\nchmod 755 {OLD}")
    network.exec('t4', 'sh', '-c', MOVE.format(pattern='python*', target='no-${p##*/}'))
    network.exec('t1', 'useradd', '--password', '*', '--shell', '/usr/sbin/nologin', 'm_nologin')
    try:
        yield network
    finally:
        network.exec('t1', 'userdel', '--force', 'm_nologin', check=False)
        network.exec('t3', 'rm', OLD)
        network.exec('t4', 'sh', '-c', MOVE.format(pattern='no-python*', target='${p##*/no-}'))


def inventory(hosts: Hosts, folder: pathlib.Path) -> str:
    t1 = hosts.addresses['t1']
    (folder / 'changed').write_text(f'{t1} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJy5TNaqeQ4KZ5gTvh1nDNJmcGmGzVBNSUfwMIHNhDI\n')
    (folder / 'none').touch()
    lines = ['[targets]']
    for name, (variables, *_) in HOSTS.items():
        text = variables.format(network=t1.rpartition('.')[0], folder=folder, **hosts.addresses)
        if 'ansible_host=' not in text:
            text += f' ansible_host={t1}'
        lines.append(f'{name} {text}')
    return '\n'.join(lines) + '\n'


@pytest.fixture(scope='module')
def runs(strange: Hosts, tmp_path_factory: pytest.TempPathFactory, core: Core, way: str) -> tuple[Finished, list[str]]:
    folder = tmp_path_factory.mktemp('logins')
    control = Control(core, way, strange, folder)
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', folder / 'other_key'], check=True, timeout=20)
    control.add_inventory('logins.ini', inventory(strange, folder))
    done = control.tasks(PLAY, hosts=','.join(HOSTS), seconds=120)
    return done, control.leftovers()


@pytest.mark.parametrize('host', HOSTS)
def test_bad_login(runs: tuple[Finished, list[str]], host: str, core: Core, way: str) -> None:
    _, event, message, raw = HOSTS[host]
    found: dict[str, dict[str, Any]] = {r['task']: r for r in runs[0].records if r.get('host') == host}
    assert (found['ping']['event'], found['raw']['event']) == (event, raw), str(found)
    result = found['ping']['result']
    text = ' '.join(str(result[key]) for key in ('msg', 'module_stderr', 'module_stdout') if result.get(key))
    if message:
        assert re.search(message, text), text
        assert '\n' not in str(result['msg']).strip() or event == 'failed' or host == 'changed_key', text
    if raw == 'ok':
        assert found['raw']['result']['stdout_lines'][-1:] == ['alive']
    if (core, way) == (Core.all()[0], WAYS[0]) and message:
        report.note('Logins', TITLES[host], f'fatal: [{host}]: {event.upper()}! => {text}', core.version)


def test_bad_logins_leave_nothing(runs: tuple[Finished, list[str]]) -> None:
    done, leftovers = runs
    assert done.code & 4, str(done)
    assert not leftovers, '\n'.join(leftovers)


def test_bad_login_alone_fails_the_run(control: Control) -> None:
    done = control.adhoc('t1', '-m', 'ping', '-e', 'ansible_port=9')
    assert done.code == 4
    assert re.search(r't1 \| UNREACHABLE! => .*port 9: Connection refused', done.text, re.S), done.text
