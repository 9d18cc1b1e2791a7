"""Who dies when, and what the others then do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mitogen_core.controller import bootstrap
from mitogen_core.controller.client import SOCKET
from mitogen_core.wire.constants import ROOT
from mitogen_core.wire.errors import CallError, ChannelError
from tests.support import interpreters, leaks
from tests.support.engine import Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.standin import Runners

# Everybody must know by then: far less than any timeout of the engine.
PROMPT = 20


class Busy:
    """An engine with a module call under way that would never end."""

    def __init__(self, engine: Engine, python: str, note: str, isolation: str = 'fork', argv=None) -> None:
        self.engine = engine
        self.hop = login('the host', argv or boot_argv(python))
        self.context = engine.get(self.hop)[0][0]
        self.broker = engine.pid_of(self.context)
        runners = Runners(engine, self.context)
        assert runners.probe('', isolation=isolation).rc == 0
        new = note + '.new'
        self.handle = runners.start(
            f'f = open({new!r}, "w"); f.write("%d %d" % (os.getpid(), os.getppid())); f.close()\n'
            f'os.rename({new!r}, {note!r})\nimport time\ntime.sleep(3600)', isolation=isolation)
        leaks.wait_until(lambda: os.path.exists(note), 'the module')
        with open(note) as words:
            self.executor, self.supervisor = map(int, words.read().split())
        assert leaks.process(self.supervisor).ppid == self.broker

    def result(self):
        """What the call ends with, promptly."""
        begin = time.monotonic()
        try:
            return self.engine.wait(self.handle)
        except (ChannelError, CallError) as e:
            return e
        finally:
            assert time.monotonic() - begin < PROMPT

    def works_again(self) -> None:
        context = self.engine.get(self.hop)[0][0]
        assert self.engine.execute(context, ['echo', 'again']).out == b'again\n'
        assert Runners(self.engine, context).probe('').rc == 0

    def gone(self, *pids: int) -> None:
        leaks.wait_until(lambda: not any(map(leaks.alive, pids)), f'the end of {pids}', PROMPT)


@pytest.fixture
def busy(engine: Engine, edge: Interpreter, tmp_path) -> Busy:
    return Busy(engine, edge.path, str(tmp_path / 'note'))


def test_the_broker_is_killed(busy: Busy):
    os.kill(busy.broker, signal.SIGKILL)
    error = busy.result()
    assert isinstance(error, ChannelError)
    assert str(error).startswith('the host: ')
    busy.gone(busy.supervisor, busy.executor)
    busy.works_again()


def test_a_supervisor_is_killed(busy: Busy):
    os.kill(busy.supervisor, signal.SIGKILL)
    error = busy.result()
    assert isinstance(error, CallError)
    assert error.kind == 'died'
    assert str(busy.supervisor) in error.text
    busy.gone(busy.executor)
    busy.works_again()
    assert leaks.alive(busy.broker)


@pytest.mark.parametrize('isolation', ['fork', 'inline'])
def test_an_executor_is_killed(engine: Engine, edge: Interpreter, tmp_path, isolation: str):
    busy = Busy(engine, edge.path, str(tmp_path / 'note'), isolation)
    os.kill(busy.executor, signal.SIGKILL)
    assert busy.result().rc == 128 + signal.SIGKILL
    busy.works_again()
    assert leaks.alive(busy.supervisor)


def test_the_multiplexer_is_killed(busy: Busy):
    os.kill(busy.engine.mux_pid, signal.SIGKILL)
    error = busy.result()
    assert isinstance(error, ChannelError)
    assert 'the multiplexer ended' in str(error)
    busy.gone(busy.broker, busy.supervisor, busy.executor)
    busy.engine.reconnect()
    busy.works_again()


def test_the_multiplexer_is_asked_to_end(busy: Busy):
    os.kill(busy.engine.mux_pid, signal.SIGTERM)
    assert isinstance(busy.result(), ChannelError)
    busy.gone(busy.engine.mux_pid, busy.broker, busy.supervisor, busy.executor)
    busy.engine.reconnect()
    busy.works_again()


@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGTERM])
def test_the_watched_process_ends(busy: Busy, how: int):
    busy.engine.watched.send_signal(how)
    busy.engine.watched.wait(PROMPT)
    assert isinstance(busy.result(), ChannelError)
    leaks.no_processes(busy.engine.mark, 'alive after the end of the run', PROMPT)
    leaks.wait_until(lambda: not busy.engine.folder.exists(), 'the end of the folder', PROMPT)


def test_the_client_goes_away_in_mid_call(busy: Busy):
    """Nobody waits any more: the module is ended, and the context lives on."""
    busy.engine.client.close()
    busy.gone(busy.executor)
    busy.engine.reconnect()
    status = busy.engine.status()
    assert (status['clients'], status['pending']) == (1, 0)
    busy.works_again()
    assert leaks.alive(busy.broker)


def test_a_command_of_a_client_that_goes_away(engine: Engine, edge: Interpreter, fifo):
    context = engine.local(edge.path)
    up = fifo('up')
    other = engine.connect()
    other.start(context, 'processes', 'exec', {'argv': ['/bin/sh', '-c', f'sleep 3600 & echo $! $$ >{up}; wait']})
    with open(up) as words:
        pids = list(map(int, words.read().split()))
    other.close()
    leaks.wait_until(lambda: not any(map(leaks.alive, pids)), 'the end of the command', PROMPT)
    assert engine.execute(context, ['echo', 'on']).out == b'on\n'


def test_an_orderly_end_in_mid_call(busy: Busy):
    busy.engine.client.call(ROOT, 'status', 'shutdown', {}, timeout=PROMPT)
    assert isinstance(busy.result(), ChannelError)
    leaks.wait_until(lambda: not busy.engine.folder.exists(), 'the end of the folder', PROMPT)
    busy.gone(busy.broker, busy.supervisor, busy.executor, busy.engine.mux_pid)


# What ssh is to us: a process of its own between the multiplexer and the broker.
RELAY = r'''
import os, select, subprocess, sys
p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
ways = {0: p.stdin.fileno(), p.stdout.fileno(): 1}
while True:
    for fd in select.select(list(ways), [], [])[0]:
        data = os.read(fd, 65536)
        if not data:
            os._exit(p.wait() if fd else 0)
        while data:
            data = data[os.write(ways[fd], data):]
'''


def relayed(python: str) -> list[str]:
    return [sys.executable, '-c', RELAY, *boot_argv(python)]


def test_the_login_process_is_killed(engine: Engine, edge: Interpreter, tmp_path):
    busy = Busy(engine, edge.path, str(tmp_path / 'note'), argv=relayed(edge.path))
    os.kill(leaks.process(busy.broker).ppid, signal.SIGKILL)
    error = busy.result()
    assert isinstance(error, ChannelError)
    assert str(error).startswith('the host: ')
    assert 'exit code -9' in str(error)
    busy.gone(busy.broker, busy.supervisor, busy.executor)
    busy.works_again()


def test_the_broker_behind_a_login_process_is_killed(engine: Engine, edge: Interpreter, tmp_path):
    busy = Busy(engine, edge.path, str(tmp_path / 'note'), argv=relayed(edge.path))
    os.kill(busy.broker, signal.SIGKILL)
    assert str(busy.result()).startswith('the host: ')
    busy.gone(busy.supervisor, busy.executor)
    busy.works_again()


def test_a_shell_that_stays_in_front_is_killed(engine: Engine, edge: Interpreter, tmp_path):
    """The link does not pass through it: all goes on, and ends with the run."""
    argv = boot_argv(edge.path)
    argv[-1] = f'({argv[-1]}); exit $?'
    context = engine.get(login('the host', argv))[0][0]
    shell = next(each for each in leaks.marked(engine.mark) if each.ppid == engine.mux_pid)
    os.kill(shell.pid, signal.SIGKILL)
    leaks.wait_until(lambda: not leaks.alive(shell.pid), 'the end of the shell')
    assert engine.execute(context, ['echo', 'on']).out == b'on\n'


def test_a_login_that_is_given_up_while_it_starts(engine: Engine):
    """The client that wanted it is gone before the host answers; nothing of it remains after the run."""
    other = engine.connect()
    other.start(ROOT, 'contexts', 'get', {'chain': [login('slow', ['/bin/sh', '-c', 'cat >/dev/null'])]})
    leaks.wait_until(lambda: engine.status()['contexts'], 'the login')
    other.close()


# --- contexts below contexts

def three(engine: Engine, python: str) -> tuple[list[int], list[dict]]:
    return engine.get(*(login(name, boot_argv(python)) for name in ('first', 'second', 'third')))


def test_three_levels(engine: Engine, interpreter: Interpreter):
    ids, hellos = three(engine, interpreter.path)
    assert len(set(ids)) == 3
    pids = [hello['pid'] for hello in hellos]
    assert [leaks.process(pid).ppid for pid in pids] == [engine.mux_pid, pids[0], pids[1]]
    data = os.urandom(1 << 20)
    assert engine.execute(ids[2], ['cat'], data).out == data
    assert Runners(engine, ids[2]).probe('result["here"] = True').value['here']
    assert engine.execute(ids[0], ['sh', '-c', 'echo $PPID']).out.strip() == str(pids[0]).encode()


@pytest.mark.parametrize('victim', [0, 1, 2])
def test_a_context_dies_with_its_parent(engine: Engine, edge: Interpreter, fifo, victim: int):
    ids, hellos = three(engine, edge.path)
    pids = [hello['pid'] for hello in hellos]
    up = fifo('up')
    handle = engine.client.start(ids[2], 'processes', 'exec', {
        'argv': ['/bin/sh', '-c', f'echo $$ >{up}; exec sleep 3600']})
    with open(up) as words:
        command = int(words.read())
    os.kill(pids[victim], signal.SIGKILL)
    begin = time.monotonic()
    with pytest.raises(ChannelError, match=r'^third: '):
        engine.client.wait(handle, 'a command', 30)
    assert time.monotonic() - begin < PROMPT
    if victim < 2:
        leaks.wait_until(lambda: not any(map(leaks.alive, pids[victim:])), 'the end of what is below', PROMPT)
        leaks.wait_until(lambda: not leaks.alive(command), 'the end of the command', PROMPT)
    else:
        os.kill(command, signal.SIGKILL)  # an orphan of a broker that had no time to end it
    assert all(map(leaks.alive, pids[:victim]))
    again, _ = three(engine, edge.path)
    assert again[:victim] == ids[:victim]
    assert engine.execute(again[2], ['echo', 'again']).out == b'again\n'


def test_an_end_where_no_process_can_be_started(engine: Engine):
    """The broker ends all the same, and its folders are gone.  Root may always start one, so it is another user's."""
    other, python = (['setpriv', '--reuid=65534', '--clear-groups'], '/usr/bin/python3') if not os.getuid() else \
        ([], sys.executable)
    context = engine.get(login('x', [*other, *boot_argv(python)]))[0][0]
    folder = f'/tmp/mitosis-{engine.mark}'
    engine.execute(context, ['mkdir', folder], makes=folder)
    assert os.path.isdir(folder)
    subprocess.run([*other, 'prlimit', f'--pid={engine.pid_of(context)}', '--nproc=1:'], check=True)
    with pytest.raises(CallError):
        engine.execute(context, ['true'])
    engine.end_watched()
    leaks.wait_until(lambda: not os.path.exists(folder), 'the end of its folder')


def test_reset_ends_all_below(engine: Engine, edge: Interpreter):
    _, hellos = three(engine, edge.path)
    assert engine.client.call(ROOT, 'contexts', 'reset', {'keys': ['first']}, timeout=30)[0] is True
    pids = [hello['pid'] for hello in hellos]
    leaks.wait_until(lambda: not any(map(leaks.alive, pids)), 'the end of all three', PROMPT)
    leaks.wait_until(lambda: engine.status()['contexts'] == [], 'an empty list', PROMPT)
    assert engine.client.call(ROOT, 'contexts', 'reset', {'keys': ['first']}, timeout=30)[0] is False
    three(engine, edge.path)


def test_release_ends_an_account_and_what_hangs_on_it(engine: Engine, edge: Interpreter, fifo):
    gate = fifo('gate')
    ids, hellos = three(engine, edge.path)
    # By another login to the same host.
    side, _ = engine.get(login('other', boot_argv(edge.path)), login('side', boot_argv(edge.path)))
    Runners(engine, ids[2]).probe('')
    user = hellos[0]['user']

    def release(users: list[str], *keep: str) -> int:
        return engine.client.call(ROOT, 'contexts', 'release', {'users': users, 'keep': list(keep)}, timeout=30)[0]
    assert release(['somebody-else'], 'first') == 0
    # Not what has work under way.
    handle = engine.client.start(side[1], 'processes', 'exec', {'argv': ['sh', '-c', f'read x <{gate}']})
    assert release([user], 'first', 'second', 'third') == 0
    with open(gate, 'w') as words:
        words.write('go on\n')
    assert engine.client.wait(handle, 'a command', 30)[0]['rc'] == 0
    assert release([user], 'first', 'second', 'third') == 1
    assert {each['id'] for each in engine.status()['contexts']} == {*ids, side[0]}
    # Answered when the processes are gone, runners included: nothing is waited for here.
    family = leaks.descendants(hellos[1]['pid'])
    assert len(family) > 2
    assert release([user], 'first') == 1
    assert not [str(leaks.process(pid)) for pid in family if leaks.alive(pid)]
    assert [each['id'] for each in engine.status()['contexts']] == [ids[0], side[0]]
    assert three(engine, edge.path)[0][0] == ids[0]


def test_one_login_for_many_clients(engine: Engine, edge: Interpreter, tmp_path):
    """Clients that want the same context at the same time get the same one; the command is started once."""
    count = tmp_path / 'count'
    argv = ['/bin/sh', '-c', f'echo x >>{count}; {boot_argv(edge.path)[-1]}']
    clients = [engine.connect() for _ in range(5)]
    handles = [client.start(ROOT, 'contexts', 'get', {'chain': [login('host', argv)]}) for client in clients]
    answers = [client.wait(handle, 'a context', 30)[0] for client, handle in zip(clients, handles, strict=True)]
    assert {tuple(answer['ids']) for answer in answers} == {(1,)}
    assert count.read_text() == 'x\n'
    for client in clients:
        client.close()


# --- starting

def test_two_starters_make_one_multiplexer(engine: Engine, tmp_path):
    code = ('import sys; from mitogen_core.controller import supervisor; c = supervisor.connect(sys.argv[1], '
            'int(sys.argv[2])); print(c.call(0, "status", "status", {}, timeout=30)[0]["pid"])')
    folder, watched = tmp_path / 'fresh', str(engine.watched.pid)
    folder.mkdir(mode=0o700)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    starters = [subprocess.Popen([sys.executable, '-c', code, str(folder), watched], stdout=subprocess.PIPE, cwd=root)
                for _ in range(4)]
    pids = {starter.communicate(timeout=30)[0].strip() for starter in starters}
    assert len(pids) == 1
    assert pids != {b''}


def test_a_second_multiplexer_keeps_its_socket(engine: Engine):
    """One that ends slowly removes the socket that it made, not that of its successor."""
    engine.get(login('deaf', ['/bin/sh', '-c', f'trap "" HUP TERM; {boot_argv(interpreters.newest().path)[-1]}']))
    first = engine.mux_pid
    os.kill(first, signal.SIGSTOP)
    engine.client.close()
    os.kill(first, signal.SIGTERM)
    # Its successor is there before the first one runs again.
    os.unlink(engine.folder / SOCKET)
    engine.reconnect()
    os.kill(first, signal.SIGCONT)
    leaks.wait_until(lambda: not leaks.alive(first), 'the end of the first')
    second = engine.mux_pid
    assert second != first
    engine.reconnect()
    assert engine.mux_pid == second


SILENT = 'read x <{gate}'
A_WORD_FIRST = 'echo a word; read x <{gate}'


def test_an_escalation_without_a_word_is_given_up(engine: Engine, edge: Interpreter, fifo):
    """Long before its time is over, with all that it started."""
    hops = [login('the host', boot_argv(edge.path)),
            login('silent', ['/bin/sh', '-c', SILENT.format(gate=fifo('gate'))], silence=0.2)]
    with pytest.raises(CallError, match=r'^silent: not a word for 0\.2 s$') as raised:
        engine.get(*hops)
    assert raised.value.kind == 'timeout'
    assert raised.value.more['hop'] == 1
    assert engine.execute(engine.get(hops[0])[0][0], ['true']).rc == 0


def test_an_escalation_that_has_happened_may_be_silent(engine: Engine, edge: Interpreter, fifo):
    """Then it is our code that is being waited for."""
    gate = fifo('gate')
    words = []

    def on_progress(head, data: bytes) -> None:
        if data == b'a word\n':
            words.append(engine.client.tell('contexts', 'escalated', {'token': head['token']}))

    # It becomes a context a while after its time for a word would be over.
    command = f'{A_WORD_FIRST.format(gate=gate)}; {bootstrap.boot_command((edge.path,))}'
    opener = subprocess.Popen(['/bin/sh', '-c', f'sleep 0.5; echo >{gate}'])
    try:
        ids, _ = engine.get(login('the host', boot_argv(edge.path)),
                            login('slow', ['/bin/sh', '-c', command], silence=0.25), on_progress=on_progress)
    finally:
        opener.wait()
    assert words == [None]
    assert engine.execute(ids[1], ['true']).rc == 0
