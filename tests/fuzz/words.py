"""What users and ansible-core say: command lines, options; and what programs ask for a password with."""

from __future__ import annotations

import functools
import json
import shlex
import types
from typing import Any

from mitogen_core.remote.loop import Loop
from mitogen_core.wire.py23 import LONGEST_WAIT
from tests.support import builder, collection

from . import modules

FOLDER = '/root/.ansible/tmp/ansible-tmp-1-2-3'
ENVIRONMENTS = {"A='b c' ": {'A': 'b c'}, '': {}}
# What a command says comes in pieces of this size, from both streams in turn.
PIECE = 61


@functools.cache
def load(name: str) -> Any:
    return collection.load(f'plugins.plugin_utils.{name}')


@functools.cache
def sent() -> Any:
    asyncs = load('_compat.asyncs')
    found = asyncs.Sent()
    payload = modules.read_payload(modules.payloads()[0])
    for name, fqn in (('AnsiballZ_ping.py', payload.fqn), ('async_wrapper.py', asyncs.WRAPPER)):
        one = types.SimpleNamespace(**{**vars(payload), 'fqn': fqn})
        found.payloads[f'{FOLDER}/{name}'] = one, '/usr/bin/python3'
    return found


def read_command(data: bytes) -> Any:
    """What a command line means: of an action, of async, of a module, of one that changes accounts."""
    line = data.decode('utf-8', 'surrogateescape')
    later = load('_later').Later('x', folder=FOLDER)
    notes = load('_compat.recording').Notes()
    notes.note('modules', '/usr/bin/python3', ({}, '/usr/bin/python3'))
    notes.note('becomes', 'sudo -u root true', ('true', None))
    return (later.expects(line), load('_compat.asyncs').parse(line, sent(), ENVIRONMENTS),
            load('_compat.recording').explain(notes, line).argv, load('_accounts').named_by_command(line))


def commands() -> list[bytes]:
    job = ['/usr/bin/python3', f'{FOLDER}/async_wrapper.py', 'j1', '10']
    file = f'{FOLDER}/AnsiballZ_ping.py'
    tail = ['false', file, '/usr/bin/python3', file] if builder.CORE >= (2, 21) else [file, '_']
    lines = ['( umask 77 && mkdir -p "` echo /tmp `"&& mkdir "` echo /tmp/x `" && echo x="` echo /tmp/x `" )',
             f'rm -f -r {FOLDER}/ > /dev/null 2>&1', f'chmod u+rwx {FOLDER}/ {file}', shlex.join([*job, *tail]),
             "A='b c' " + shlex.join([*job[:3], '\u00b2', *tail]), "/bin/sh -c '/usr/bin/python3'",
             "/bin/sh -c 'sudo -u root true'", "/bin/sh -c 'userdel o'\"'\"'brien'", 'echo `']
    return [line.encode() for line in lines]


@functools.cache
def plugins() -> list[Any]:
    from ansible.plugins.loader import become_loader, shell_loader
    found = [become_loader.get(name) for name in ('sudo', 'su')]
    for become in found:
        become.set_options(direct={'become_pass': 'secret', 'become_user': 'root'})
        become.build_become_command('true', shell_loader.get('sh'))
    return found


class Told:
    """A client that only notes what it was to tell."""

    def __init__(self) -> None:
        self.words: list[tuple[str, bytes]] = []

    def tell(self, service: str, method: str, args: Any, bulk: bytes = b'') -> None:
        self.words.append((method, bulk))


def read_prompts(data: bytes) -> Any:
    """What sudo, su and ssh say: a password is told to each once, and only if it is asked for."""
    connection = types.SimpleNamespace(transport='ssh', get_option=lambda name: 10, _play_context=types.SimpleNamespace(
        remote_addr='web1'))
    for become in plugins():
        client = Told()
        conversation = load('_become').Conversation(connection, client, become)
        for at in range(0, len(data), PIECE):
            conversation({'stream': 1 + at // PIECE % 2, 'token': 1}, data[at:at + PIECE])
            assert all(len(rest) <= 512 for rest in conversation._rest.values())
        passwords = [bulk for method, bulk in client.words if method == 'input']
        assert passwords in ([], [b'secret\n'])
        assert len([word for word in client.words if word[0] == 'abort']) <= 1
        conversation.restore()
    login = load('_login')
    ssh = object.__new__(login.SshLogin)
    ssh.command = types.SimpleNamespace(password='secret', secret=b'secret')
    answer = ssh.answer(data)
    assert answer is None or (answer == b'secret\n' and b':' in data)
    return answer


def words_of_programs() -> list[bytes]:
    sudo, _ = plugins()
    return [sudo.prompt.encode(), b'\n' + sudo.success.encode() + b'\n', b'Sorry, try again.\n' + sudo.prompt.encode(),
            b'Password: ', 'Passwort\u3000\uff1a'.encode(), b'su: Authentication failure\n', b"root@web1's password: ",
            b'Enter passphrase for key:', b'sudo: a password is required\n', b'password:' * 20 + b' ' * 50]


@functools.cache
def options() -> list[str]:
    collection.load('plugins.connection.ssh')
    return sorted(load('_compat.options').OURS)


def read_option(data: bytes) -> Any:
    """The first byte tells which one; the others are its value, as JSON, else as text."""
    from ansible import constants as C
    names = options()
    text = data[1:].decode('utf-8', 'surrogateescape')
    name = names[data[0] % len(names)] if data else names[0]
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = text
    variables = {'inventory_hostname': 'web1', load('_compat.options').OURS[name]['vars'][0]['name']: told}
    load('_compat.callers').not_by_facts(name, variables)
    value = C.config.get_config_value(name, plugin_type='connection', plugin_name='mitosis.express.ssh',
                                      variables=variables)
    if name == 'mitosis_workers':
        workers = load('_shards').number_of_workers(types.SimpleNamespace(task_vars=variables))
        assert 0 <= workers <= 10 ** 6
    elif isinstance(value, int):
        loop = object.__new__(Loop)
        loop._timers, loop._soon, loop._count, loop.clock = [], [], 0, lambda: 0.0
        loop.later(value, lambda: None)
        assert 0 <= loop._timeout() <= LONGEST_WAIT
    return value


def values() -> list[bytes]:
    return [bytes([number]) + value for number in range(len(options())) for value in (
        b'10', b'"inline"', b'true', b'1e99', b'-1', b'"\xc2\xb2"', b'web1', b'[1]', b'{"a": 1}', b'9' * 30)]


class Hop:
    """A connection that only notes its options."""

    def __init__(self) -> None:
        self._load_name, self._shell, self.become = 'ssh', self, None

    def set_options(self, **more: Any) -> None:
        self.told = more

    def set_become_plugin(self, plugin: Any) -> None:
        self.become = plugin


def read_hop(data: bytes) -> Any:
    """JSON: the variables of a host that others are reached through."""
    try:
        variables = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(variables, dict):
        return None
    variables.setdefault('inventory_hostname', 'hop')
    found = load('_compat.hops').connection_to({'hop': variables}, 'hop', {}, lambda *_: Hop())
    return found.become


def hop_variables() -> list[bytes]:
    found = [{'ansible_host': '10.0.0.1', 'ansible_port': 22, 'ansible_user': 'me'}, {'ansible_port': 'x'},
             {'ansible_become': 'yes', 'ansible_become_method': 'sudo'},
             {'ansible_become': True, 'ansible_become_method': 'x'},
             {'ansible_connection': 'smart', 'mitosis_via': 'x', 'ansible_facts': {'mitosis_via': 'y'}},
             {'ansible_facts': []}, {'ansible_become': [1]}]
    return [json.dumps(one).encode() for one in found]


def refusals() -> tuple[type[Exception], ...]:
    """How an option that can't be is refused."""
    from ansible.errors import AnsibleError
    return (AnsibleError,)


TARGETS = {
    'command': (read_command, (), commands),
    'prompt': (read_prompts, (), words_of_programs),
    'option': (read_option, refusals(), values),
    'hop': (read_hop, refusals(), hop_variables),
}
