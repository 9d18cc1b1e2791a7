"""A login that was begun is waited for once, by whoever needs it first; and is nobody's where none does."""

from __future__ import annotations

import types

import pytest

from tests.support import collection

runtime = collection.load('plugins.plugin_utils._runtime')
contexts = collection.load('plugins.plugin_utils._contexts')
CallError = collection.load('mitogen_core.wire.errors').CallError
Stock = collection.load('plugins.plugin_utils._login').Stock


class FakeClient:
    """Answers in order: a context's id, or an error."""

    def __init__(self, *answers):
        self.answers, self.asked, self.forgotten = list(answers), [], []

    def start(self, dst, service, method, args):
        self.asked.append([hop['spec'] and hop['spec']['name'] for hop in args['chain']])
        return len(self.asked)

    def wait(self, handle, *_):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {'ids': [answer], 'hellos': [{'home': '/home/x'}]}, b''

    def call(self, dst, service, method, args, **_):
        return self.wait(self.start(dst, service, method, args))

    def forget(self, handle):
        self.forgotten.append(handle)


class FakeLogin:
    def __init__(self, connection):
        self.connection, self.key = connection, connection.key
        self.command = types.SimpleNamespace(password=connection.password)

    def spec(self, boot, timeout, run):
        self.connection.specs += 1
        return {'name': f'login {self.connection.specs}'}, lambda: setattr(
            self.connection, 'released', self.connection.released + 1)

    def failed(self, error, retries_left):
        self.connection.retries.append(retries_left)


class Connection(contexts.Contexts):
    login_type, transport, ways = FakeLogin, 'ssh', None
    specs = released = 0
    key, password = 'one', None

    def __init__(self, retries=0):
        self.options = {'reconnection_retries': retries, 'mitosis_boot_timeout': 60, 'timeout': 10, 'mitosis_via': ''}
        self.retries = []

    def get_option(self, name):
        return self.options.get(name, 1)


@pytest.fixture
def connection(monkeypatch):
    monkeypatch.setattr(runtime, '_seen', set())
    return Connection()


def test_it_is_waited_for(connection):
    client = FakeClient(7, 7)
    connection.begin_login(client, '/usr/bin/python3')
    assert connection._context(client) == 7 and client.asked == [['login 1'], [None]]
    assert (connection.specs, connection.released) == (1, 1)
    connection.forget_login()
    assert client.forgotten == []


def test_its_failure_is_the_first_attempt(connection):
    """And the only one, where there are no retries."""
    client = FakeClient(CallError('exit', 'it is closed'))
    connection.begin_login(client, '')
    with pytest.raises(Stock, match='it is closed'):
        connection._context(client)
    assert (client.asked, connection.specs, connection.retries) == ([['login 1']], 1, [0])


def test_another_attempt_is_a_login_of_its_own(connection):
    client = FakeClient(CallError('retry', 'given up'), CallError('need-spec', 'no such context'), 8)
    connection.begin_login(client, '')
    assert connection._context(client) == 8
    assert client.asked == [['login 1'], [None], ['login 2']] and connection.released == connection.specs == 2


@pytest.mark.parametrize('change', ['key', 'client'])
def test_what_needs_another(connection, change):
    first, client = FakeClient(), FakeClient(9)
    if change == 'key':
        first = client
    connection.begin_login(first, '')
    if change == 'key':
        connection.key = 'two'
    assert connection._context(client) == 9
    assert connection.released == 0
    connection.forget_login()
    assert first.forgotten == [1] and connection.released == 1


def test_once_for_a_process(connection):
    """Items of a loop may have a connection each."""
    client = FakeClient(7)
    for each in (connection, Connection(), Connection()):
        each.begin_login(client, '')
    assert client.asked == [['login 1']]


def test_none_with_a_password(connection):
    client = FakeClient()
    connection.password = 'secret'
    connection.begin_login(client, '')
    connection.forget_login()
    assert client.asked == client.forgotten == [] and connection.specs == 0
