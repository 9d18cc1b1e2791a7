"""Where secrets show while a play runs and after it: with us nowhere where they do not with stock Ansible."""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import time
from collections.abc import Iterator

import pytest

from tests.integration.support.control import ALL, HERE, Control
from tests.integration.support.hosts import Hosts, all_pids

pytestmark = pytest.mark.timeout(400)

# By make-users: the password of an account is its name and this.  The rest are variables out of a vault.
PASSWORDS = ('m_pw-secret', 'm_plain-secret')
VALUES = ('option-secret', 'stdin-secret', 'content-secret', 'environment-secret', 'word-secret', 'async-secret',
          'template-secret', 'file-secret', 'broken-secret', 'loop-secret', 'said-secret')
VAULT_PASSWORD = 'vault-password-secret'
SECRETS = (*PASSWORDS, *VALUES, VAULT_PASSWORD)
HOSTS = '''[targets]
sudo ansible_host={address} ansible_user=m_pw ansible_become_password=m_pw-secret
login ansible_host={address} ansible_user=m_plain ansible_password=m_plain-secret ansible_ssh_private_key_file=
[targets:vars]
ansible_ssh_extra_args=-o PreferredAuthentications=publickey,password
'''
PLAY = '''
- hosts: sudo,login
  gather_facts: false
  become: "{{ inventory_hostname == 'sudo' }}"
  vars_files: [vault.yml]
  tasks:
    - name: an option of a module that says so
      kinds_keep:
        secret: "{{ option_secret }}"
        seconds: 0.8
    - name: all of a task
      shell: cat >/dev/null; sleep 0.8
      args:
        stdin: "{{ stdin_secret }}"
      no_log: true
    - name: the environment of a task
      command: sleep 0.8
      environment:
        TOKEN: "{{ environment_secret }}"
      no_log: true
    - name: a word of a command
      shell: "sleep 0.8 # {{ word_secret }}"
      no_log: true
    - name: a job
      kinds_keep:
        secret: "{{ async_secret }}"
        seconds: 0.8
      async: 20
      poll: 1
      no_log: true
    - name: what a job says
      shell: cat; sleep 0.8
      args:
        stdin: "{{ said_secret }}"
      async: 20
      poll: 1
      no_log: true
    - name: content
      copy:
        content: "{{ content_secret }}"
        dest: /tmp/kept-{{ inventory_hostname }}
      no_log: true
    - name: a file out of a vault
      copy:
        src: file.txt
        dest: /tmp/kept-{{ inventory_hostname }}
      no_log: true
    - name: a template
      template:
        src: template.j2
        dest: /tmp/kept-{{ inventory_hostname }}
      no_log: true
    - name: it is taken away
      file:
        path: /tmp/kept-{{ inventory_hostname }}
        state: absent
    - name: items
      kinds_keep:
        secret: "{{ item }}"
        seconds: 0.5
      loop: ["{{ loop_secret }}", "{{ loop_secret }}1"]
      no_log: true
    - name: it breaks
      kinds_keep:
        secret: "{{ broken_secret }}"
        seconds: 0.5
        how: raise
      ignore_errors: true
'''


# While a file is on its way it is where stock has it too, which may not be seen each time; so is what a job says, in its
# file, and a job's module where it is made a file here.
BRIEF = {(f'{what}-secret', f'file {side}') for what in ('content', 'file', 'template') for side in ('here', 'there')}
BRIEF |= {('said-secret', 'file there'), ('said-secret', 'file here'), ('async-secret', 'file here')}
# What a task hands to a program by its command line or environment is there, and stock's -vvv tells the latter; a
# password for ssh is, from ansible-core 2.19 on, in shared memory of ansible-core's.
SHOWN = BRIEF | {('word-secret', 'cmdline there'), ('m_plain-secret', 'shared memory here'),
                 *(('environment-secret', where) for where in ('environ there', 'output', 'log here'))}


class Watch:
    """Secrets that were seen: (secret, where).  `here` is this machine, `there` its hosts."""

    def __init__(self, control: Control, hosts: Hosts) -> None:
        self.control, self.hosts = control, hosts
        self.found: set[tuple[str, str]] = set()
        self._here = os.readlink('/proc/self/ns/pid')
        self._shared = set(pathlib.Path('/dev/shm').iterdir())
        self._looked: dict[pathlib.Path, tuple[int, int]] = {}
        self._since = time.time() - 1

    def note(self, data: bytes | str, where: str) -> None:
        data = data.encode('utf-8', 'surrogateescape') if isinstance(data, str) else data
        self.found |= {(secret, where) for secret in SECRETS if secret.encode() in data}

    def look(self) -> None:
        """At processes, the files that they hold open without a name, and all files where any may be written."""
        for pid in all_pids():
            process = pathlib.Path(f'/proc/{pid}')
            with contextlib.suppress(OSError):
                side = 'here' if os.readlink(process / 'ns/pid') == self._here else 'there'
                for name in ('cmdline', 'environ', 'comm'):
                    self.note((process / name).read_bytes(), f'{name} {side}')
                if side == 'there':
                    for fd in (process / 'fd').iterdir():
                        self._file(fd, 'open file there')
        for path in self.files():
            side = 'there' if path.parts[1] == 'proc' else 'here'
            self._file(path, f'log {side}' if {'logs', 'log'} & set(path.parts) else f'file {side}')
        for path in set(pathlib.Path('/dev/shm').iterdir()) - self._shared:
            self._file(path, 'shared memory here')

    def _file(self, path: pathlib.Path, where: str) -> None:
        with contextlib.suppress(OSError):
            status = path.stat()
            seen = status.st_mtime_ns, status.st_size
            if stat.S_ISREG(status.st_mode) and status.st_ctime > self._since and ((where.startswith('open') and not status.st_nlink)
                                                 or (not where.startswith('open') and self._looked.get(path) != seen)):
                self._looked[path] = seen
                self.note(path.read_bytes(), where)

    def files(self) -> Iterator[pathlib.Path]:
        for name in ('local', 'tmp', 'home', 'cp', 'logs'):
            yield from (self.control.folder / name).rglob('*')
        for name in self.hosts.addresses:
            root = self.hosts.root(name)
            for folder in ('tmp', 'var/tmp', 'dev/shm', 'home', 'var/log', 'root/.ansible',
                           'root/.ansible_async'):
                with contextlib.suppress(OSError):
                    # That one is to have them.
                    yield from (path for path in (root / folder).rglob('*') if not path.name.startswith('kept-'))


@pytest.fixture
def given(stock: Control, tmp_path: pathlib.Path) -> pathlib.Path:
    """What a user wrote: a play, and secrets in a vault."""
    folder = tmp_path / 'given'
    folder.mkdir()
    (folder / 'play.yml').write_text(PLAY)
    (folder / 'vault-password').write_text(VAULT_PASSWORD)
    (folder / 'vault.yml').write_text(''.join(f'{value.replace("-", "_")}: {value}\n' for value in VALUES))
    (folder / 'file.txt').write_text('file-secret')
    (folder / 'template.j2').write_text('{{ template_secret }}')
    done = stock.start('ansible-vault', 'encrypt', '--vault-password-file', folder / 'vault-password',
                       folder / 'vault.yml', folder / 'file.txt', inventory=False).wait(60)
    assert done.code == 0 and 'secret' not in (folder / 'vault.yml').read_text(), str(done)
    return folder


def traces(control: Control, hosts: Hosts, given: pathlib.Path, debug: bool) -> set[tuple[str, str]]:
    """Run the play; where any secret was seen."""
    control.add_inventory('secrets.ini', HOSTS.format(address=hosts.addresses['t1']))
    logs = control.folder / 'logs'
    logs.mkdir()
    env = {'ANSIBLE_LIBRARY': str(HERE / 'kinds' / 'library'), 'ANSIBLE_LOG_PATH': str(logs / 'ansible'),
           'ANSIBLE_VAULT_PASSWORD_FILE': str(given / 'vault-password'), 'ANSIBLE_DEBUG': str(debug), 'MITOSIS_LIVE': '1',
           'MITOSIS_LOG': str(logs / 'mitosis'), 'MITOSIS_PROFILE': str(logs / 'profile'),
           'ANSIBLE_DISPLAY_TRACEBACK': 'always'}
    watch = Watch(control, hosts)
    run = control.start('ansible-playbook', given / 'play.yml', '-vvvvv', env=env)
    end = time.monotonic() + 120
    while run.process.poll() is None and time.monotonic() < end:
        watch.look()
        time.sleep(0.01)
    done = run.wait(5)
    watch.look()
    watch.note(done.text, 'output')
    watch.note(control.recorded(), 'results')
    stats = {record['host']: record['result'] for record in done.records if record['event'] == 'stats'}
    assert done.code == 0 and {counts['ignored'] for counts in stats.values()} == {1}, str(done)
    assert 'ValueError: it breaks' in done.text
    if control.way != 'stock':
        assert len((logs / 'mitosis').read_text().splitlines()) > 2
        roles = {path.name.partition('-')[0] for path in (logs / 'profile').iterdir()}
        assert roles >= {'worker', 'multiplexer'}
    return watch.found


@pytest.mark.parametrize('debug', [False, True] if ALL else [None], ids=['verbose', 'debug'] if ALL else ['either'])
def test_traces(debug: bool | None, network: Hosts, control: Control, stock: Control, given: pathlib.Path) -> None:
    if debug is None:
        debug = control.way == 'connection'
    if control.way == 'connection':
        stock.add_inventory('connection.ini', '[targets]\n')  # as many as ours has
    usual, ours = (traces(one, network, given, debug) for one in (stock, control))
    print(f'stock: {sorted(usual)}\nours:  {sorted(ours)}')
    # That much is seen, if it is there.
    assert usual >= {('word-secret', 'cmdline there'), ('environment-secret', 'cmdline there'),
                     ('environment-secret', 'environ there'), ('async-secret', 'file there')}
    assert ours - usual - BRIEF == set()
    assert debug or ours <= SHOWN


# Breaks code of ours, in the process that workers are forked from, where it has a password in hand.
BREAK = '''
DOCUMENTATION = """
name: breaks
type: notification
short_description: Breaks things
description: See test_traces.py.
"""
import importlib
import os

from ansible.plugins.callback import CallbackBase

EXPRESS = 'ansible_collections.mitosis.express.'
NAME, ATTRIBUTE, METHOD = os.environ['BREAK'].split(':')


class CallbackModule(CallbackBase):
    CALLBACK_NAME = 'breaks'

    def v2_playbook_on_start(self, playbook):
        owner = getattr(importlib.import_module(EXPRESS + NAME), ATTRIBUTE)
        real = getattr(owner, METHOD)

        def broken(self, *args, **kwargs):
            found = real(self, *args, **kwargs)
            if METHOD not in ('tell', 'call') or 'input' in args or 'get' in args:
                raise ValueError('it is broken')
            return found
        setattr(owner, METHOD, broken)
'''
BROKEN = ['plugins.plugin_utils._compat.ssh:Command:spec', 'plugins.plugin_utils._become:Conversation:__call__',
          'plugins.plugin_utils._become:Conversation:key_of', 'mitogen_core.controller.client:Client:tell',
          'mitogen_core.controller.client:Client:call']


@pytest.mark.parametrize('what', BROKEN)
def test_breaks(what: str, network: Hosts, control: Control, tmp_path: pathlib.Path) -> None:
    """Neither a traceback nor a message has a password in it."""
    control.add_inventory('secrets.ini', HOSTS.format(address=network.addresses['t1']))
    (tmp_path / 'callbacks').mkdir()
    (tmp_path / 'callbacks' / 'breaks.py').write_text(BREAK)
    env = {'BREAK': what, 'ANSIBLE_CALLBACK_PLUGINS': f'{HERE}/callback_plugins:{tmp_path}/callbacks',
           'ANSIBLE_CALLBACKS_ENABLED': 'record,breaks', 'ANSIBLE_DISPLAY_TRACEBACK': 'always', 'ANSIBLE_DEBUG': '1',
           'ANSIBLE_LOG_PATH': str(tmp_path / 'log'), 'MITOSIS_LOG': str(tmp_path / 'own-log')}
    done = control.adhoc('sudo,login', '-m', 'command', '-a', 'id', '-b', '-vvvvv', env=env)
    assert done.code and 'it is broken' in done.text, str(done)
    told = done.text + control.recorded() + ''.join(path.read_text() for path in tmp_path.glob('*log'))
    assert 'Traceback' in told and [secret for secret in PASSWORDS if secret in told] == []
