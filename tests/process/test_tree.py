"""A program's tree: calls, channels, threads, forks, the loss of contexts; every kind of Python at the other end."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from mitogen_core.controller import bootstrap
from mitogen_core.controller.connection import ForkError
from mitogen_core.controller.tree import Context, Tree
from mitogen_core.wire.constants import CALL_FUNCTION, CHUNK
from mitogen_core.wire.errors import CallError, ChannelError, ProtocolError
from tests.support import leaks, remote_functions
from tests.support.engine import SECONDS
from tests.support.interpreters import Interpreter

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def tree() -> Iterator[Tree]:
    with Tree() as made:
        yield made


@pytest.fixture
def wordy(caplog: pytest.LogCaptureFixture) -> Iterator[Tree]:
    caplog.set_level('DEBUG', 'mitogen')
    with Tree() as made:
        yield made


@pytest.fixture
def context(tree: Tree, edge: Interpreter) -> Context:
    return tree.local(edge.path)


VALUES = [None, True, -5, 2 ** 40, 1.5, 'text \u20ac', b'\xff\0', [1, [2]], {'a': {1: b'x'}}]


@pytest.mark.parametrize('value', VALUES, ids=repr)
def test_values(context: Context, value):
    answer = context.call(remote_functions.same, value).result(SECONDS)
    assert answer == value


def test_calls_at_the_same_time(context: Context, fifo):
    """All of them run before any of them can end."""
    here, go = fifo('here'), fifo('go')
    calls = [context.call(remote_functions.meet, here, go) for _ in range(8)]
    with open(here, 'rb', 0) as file:
        met = b''
        while len(met) < 8:
            met += file.read(8)
    with open(go, 'wb'):
        assert all(concurrent.futures.wait(calls, 0).not_done)
    assert [call.result(SECONDS) for call in calls] == [b''] * 8


def test_logs(wordy: Tree, edge: Interpreter, caplog: pytest.LogCaptureFixture):
    """What contexts and the multiplexer say is logged as `mitogen`; frames are as `mitogen.io`."""
    context = wordy.local(edge.path)
    context.call(remote_functions.warn, 'a word').result(SECONDS)
    lie = {'level': 50, 'where': 'x', 'text': 'a lie'}
    context.call(remote_functions.say, 'mitogen.log', [lie], b'').result(SECONDS)

    def said(text: str) -> list[str]:
        return [record.name for record in caplog.records if text in record.getMessage()]
    leaks.wait_until(lambda: said('a word'), 'a record')
    assert said('a word') == said('is ready') == ['mitogen']
    assert 'local' in next(record.getMessage() for record in caplog.records if 'a word' in record.getMessage())
    assert not said('a lie')
    assert set(said('handle=%d ' % CALL_FUNCTION)) == {'mitogen.io'}


def test_code_that_a_function_imports(context: Context):
    assert context.call(remote_functions.helped, 4).result(SECONDS) == 8


@pytest.mark.parametrize('function', [lambda: 1, Tree.close, len], ids=['lambda', 'method', 'builtin'])
def test_what_has_no_file(context: Context, function):
    with pytest.raises(ValueError, match='no function of the top level'):
        context.call(function)


def test_a_failure(context: Context):
    with pytest.raises(CallError) as caught:
        context.call(remote_functions.fail, 'a word').result(SECONDS)
    assert caught.value.kind == 'KeyError'
    assert "raise KeyError(word)" in caught.value.text and "a word" in caught.value.text


def test_a_result_that_can_not_be_sent(context: Context):
    with pytest.raises(CallError, match='may not hold'):
        context.call(remote_functions.strange).result(SECONDS)
    with pytest.raises(ProtocolError):
        context.call(remote_functions.same, object())
    assert context.call(remote_functions.same, 1).result(SECONDS) == 1


@pytest.mark.parametrize('depth', [29, 30, 31, 32, 40])
def test_a_result_that_fits_only_just(context: Context, depth: int):
    call = context.call(remote_functions.nested, depth)
    try:
        value = call.result(SECONDS)
    except CallError as e:
        assert depth > 30 and 'too deep' in e.text
    else:
        assert depth < 32 and str(value) == '[' * depth + ']' * depth
    assert context.call(remote_functions.same, 1).result(SECONDS) == 1


def test_cancelled(context: Context, fifo):
    here, go = fifo('here'), fifo('go')
    call = context.call(remote_functions.meet, here, go)
    with open(here, 'rb', 0) as file:
        assert file.read(1)
        assert call.cancel() and call.cancelled()
        assert file.read() == b''  # it has ended
    with pytest.raises(concurrent.futures.CancelledError):
        call.result(SECONDS)
    assert not context.tree.connection._requests
    assert context.tree.status()['pending'] == 0


def test_in_time_or_not(context: Context, fifo):
    go = fifo('go')
    call = context.call(remote_functions.meet, os.devnull, go)
    with pytest.raises(TimeoutError):
        call.result(0)
    with open(go, 'wb'):
        pass
    assert call.result(SECONDS) == b''
    assert not call.cancel()


def test_callbacks(context: Context):
    done: list[object] = []
    ended = threading.Event()
    call = context.call(remote_functions.same, 'x')
    call.add_done_callback(lambda future: done.append(future.result()))
    call.add_done_callback(lambda future: ended.set())
    assert ended.wait(SECONDS) and done == ['x']


def test_threads(context: Context):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = pool.map(lambda n: context.call(remote_functions.same, n).result(SECONDS), range(100))
        assert list(calls) == list(range(100))


def test_commands_and_files(context: Context, tmp_path: pathlib.Path):
    assert context.run('sh', '-c', 'cat; pwd; echo e >&2; exit 3', stdin=b'in ', cwd='/').result(SECONDS) == (
        3, b'in /\n', b'e\n')
    source, there, back = (tmp_path / name for name in ('source', 'there', 'back'))
    for size in (0, 1, 3 * CHUNK, 5 * CHUNK + 1):
        source.write_bytes(os.urandom(size))
        context.put(str(source), str(there), 0o640)
        context.get(str(there), str(back))
        assert source.read_bytes() == there.read_bytes() == back.read_bytes()
    assert there.stat().st_mode & 0o777 == 0o640


# --- channels

def test_publications(tree: Tree, context: Context):
    with_callback: list[object] = []
    one, other = tree.subscribe('slot'), tree.subscribe('other')
    tree.subscribe('slot', lambda message: with_callback.append((message.value, message.bulk)))
    assert context.call(remote_functions.say, 'slot', [*VALUES], b'bulk').result(SECONDS) == len(VALUES)
    heard = [one.get(SECONDS) for _ in VALUES]
    assert [message.value for message in heard] == VALUES
    assert {(m.bulk, m.source, m.name, m.dropped, m.keep) for m in heard} == {
        (b'bulk', context.id, context.name, 0, False)}
    assert with_callback == [(value, b'bulk') for value in VALUES]
    with pytest.raises(TimeoutError):
        other.get(0)


def test_nothing_is_sent_that_nobody_wants(tree: Tree, context: Context):
    subscription = tree.subscribe('slot')
    context.call(remote_functions.say, 'slot', ['x'], b'').result(SECONDS)
    assert subscription.get(SECONDS).value == 'x'
    subscription.close()
    before = tree.status()['links'][context.id]['received']
    assert context.call(remote_functions.say, 'slot', ['y'] * 100, bytes(10000)).result(SECONDS) == 100
    assert tree.status()['links'][context.id]['received'] < before + 10000
    assert tree.status()['channels'] == []
    with pytest.raises(ChannelError):
        subscription.get(SECONDS)


def test_a_late_context_knows_what_is_wanted(tree: Tree, edge: Interpreter):
    subscription = tree.subscribe('slot')
    first = tree.local(edge.path)
    child = first.via('a child', ['/bin/sh', '-c', _boot(edge)])
    for context in (first, child):
        context.call(remote_functions.say, 'slot', ['x'], b'').result(SECONDS)
        assert subscription.get(SECONDS).source == context.id


def test_a_publisher_waits_for_a_subscriber_that_blocks(tree: Tree, context: Context):
    """And nothing else does."""
    slow = tree.subscribe('slot', size=1, policy='block')
    number = 400
    call = context.call(remote_functions.say, 'slot', list(range(number)), bytes(CHUNK // 4))
    assert slow.get(SECONDS).value == 0
    leaks.wait_until(lambda: tree.status()['channels'][0]['waiting'], 'a message without room')
    for n in range(20):
        assert context.call(remote_functions.same, n).result(SECONDS) == n
    assert not call.done()
    assert [slow.get(SECONDS).value for _ in range(number - 1)] == list(range(1, number))
    assert call.result(SECONDS) == number


@pytest.mark.parametrize('policy', ['oldest', 'newest'])
def test_a_slow_subscriber_loses_and_knows_it(tree: Tree, context: Context, policy: str):
    slow = tree.subscribe('slot', size=10000, policy=policy)
    number = 1000
    assert context.call(remote_functions.say, 'slot', list(range(number)), b'').result(SECONDS) == number
    tree.publish('slot', 'end').result(SECONDS)
    [described] = tree.status()['channels']
    assert 0 < described['dropped'] < number and described['bytes'] <= 10000
    messages = [slow.get(SECONDS) for _ in range(number + 1 - described['dropped'])]
    values = [message.value for message in messages]
    if policy == 'newest':
        assert values == list(range(len(values)))
    else:
        assert values[0] == 0 and values[-2:] == [number - 1, 'end']
        assert sum(message.dropped for message in messages) == described['dropped']


def test_state(tree: Tree, context: Context):
    other = context.interpreter(sys.executable)
    for each in (context, other):
        each.call(remote_functions.say, 'state', ['old', each.name], b'', True).result(SECONDS)
    tree.publish('state', 'here', keep=True).result(SECONDS)
    late = tree.subscribe('state')
    assert {late.get(SECONDS).value for _ in range(3)} == {context.name, other.name, 'here'}
    os.kill(other.pid, signal.SIGKILL)
    message = late.get(SECONDS)
    assert message.gone and message.source == other.id
    assert {tree.subscribe('state').get(SECONDS).value} <= {context.name, 'here'}


def test_files_of_lines(tree: Tree, context: Context):
    lines = tree.subscribe('lines')
    context.call(remote_functions.write, 'lines', ['a\nb', 'c\n', '\n', 'd']).result(SECONDS)
    with_writer = tree.writer('lines')
    print('here', file=with_writer)
    tree.flush(SECONDS)
    assert [lines.get(SECONDS).value for _ in range(5)] == ['a', 'bc', '', 'd', 'here']


def test_flush_in_time_or_not(tree: Tree):
    stuck = tree.subscribe('slot', size=1, policy='block')
    for n in range(40):
        tree.publish('slot', n)
    with pytest.raises(TimeoutError, match='publications are not taken after 0 s'):
        tree.flush(0)
    stuck.close()
    tree.flush(SECONDS)


def test_too_large(tree: Tree, context: Context):
    with pytest.raises(ValueError, match='at most'):
        tree.publish('slot', None, bytes(CHUNK + 1))
    tree.subscribe('slot')
    with pytest.raises(CallError, match='at most'):
        context.call(remote_functions.say, 'slot', [1], bytes(CHUNK + 1)).result(SECONDS)


def test_a_callback_that_fails_harms_nobody(tree: Tree, context: Context, monkeypatch: pytest.MonkeyPatch):
    seen: list[object] = []
    monkeypatch.setattr(threading, 'excepthook', lambda args: seen.append(args.exc_type))
    tree.subscribe('slot', lambda message: message.nothing)
    assert tree.publish('slot', 1).result(SECONDS) == 1
    assert tree.publish('slot', 2).result(SECONDS) == 1
    assert seen and set(seen) == {AttributeError}


def test_what_forks_publish(tree: Tree, context: Context):
    heard = tree.subscribe('slot')
    context.call(remote_functions.say_in_a_fork, 'slot').result(SECONDS)
    assert [heard.get(SECONDS).value for _ in range(2)] == ['before', 'after']


def test_a_context_that_dies_while_its_publications_wait(tree: Tree, edge: Interpreter):
    """Its calls are told at once, whoever is not reading."""
    root = tree.local(edge.path)
    child = root.via('a child', ['/bin/sh', '-c', _boot(edge)])
    tree.subscribe('slot', size=1, policy='block')
    call = child.call(remote_functions.forever)
    child.call(remote_functions.say, 'slot', [0] * 400, bytes(CHUNK // 4))
    leaks.wait_until(lambda: tree.status()['channels'][0]['waiting'], 'a message without room')
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ChannelError):
        call.result(SECONDS)


def test_a_publisher_that_waits_can_be_cancelled(tree: Tree, context: Context, fifo):
    tree.subscribe('slot', size=1, policy='block')
    alive = fifo('alive')
    call = context.call(remote_functions.say_for_ever, alive, 'slot', bytes(CHUNK // 4))
    with open(alive, 'rb') as file:
        leaks.wait_until(lambda: tree.status()['channels'][0]['waiting'], 'a message without room')
        assert call.cancel()
        assert file.read() == b''  # it has ended


# --- life

def test_the_loss_of_any_node(tree: Tree, edge: Interpreter):
    root = tree.local(edge.path)
    middle = root.via('middle', ['/bin/sh', '-c', _boot(edge)])
    leaf = middle.via('leaf', ['/bin/sh', '-c', _boot(edge)])
    beside = root.via('beside', ['/bin/sh', '-c', _boot(edge) + ' #'])
    calls = [each.call(remote_functions.forever) for each in (middle, leaf)]
    going_on = beside.call(remote_functions.forever)
    os.kill(middle.pid, signal.SIGKILL)
    for call in calls:
        with pytest.raises(ChannelError):
            call.result(SECONDS)
    for each in (root, beside):
        assert each.call(remote_functions.same, 1).result(SECONDS) == 1
    assert not going_on.done() and going_on.cancel()
    with pytest.raises(ChannelError):
        leaf.call(remote_functions.same, 1).result(SECONDS)
    again = root.via('middle', ['/bin/sh', '-c', _boot(edge)])
    assert again.call(remote_functions.same, 2).result(SECONDS) == 2


def test_the_loss_of_the_multiplexer(tree: Tree, edge: Interpreter):
    context = tree.local(edge.path)
    subscription, call = tree.subscribe('slot'), context.call(remote_functions.forever)
    os.kill(tree.status()['pid'], signal.SIGKILL)
    with pytest.raises(ChannelError, match='the multiplexer'):
        call.result(SECONDS)
    with pytest.raises(ChannelError):
        subscription.get(SECONDS)
    with pytest.raises(ChannelError):
        context.call(remote_functions.same, 1)


def test_a_fork_has_no_tree(tree: Tree, edge: Interpreter):
    context = tree.local(edge.path)
    assert context.call(remote_functions.same, 1).result(SECONDS) == 1
    fd = tree.connection._socket.fileno()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            context.call(remote_functions.same, 2)
        except ForkError as e:
            closed = not os.path.exists(f'/proc/self/fd/{fd}')
            code = 0 if closed and 'belongs to process' in str(e) else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert context.call(remote_functions.same, 3).result(SECONDS) == 3


def test_a_login_that_fails(tree: Tree):
    with pytest.raises(CallError, match=r'no route|exit') as caught:
        tree.local().via('nowhere', ['/bin/sh', '-c', 'echo no route >&2; exit 5'])
    assert caught.value.kind == 'exit'


def test_the_document(tmp_path: pathlib.Path, edge: Interpreter):
    """docs/core.md, to the letter; instead of ssh a program that runs the command here."""
    text = (ROOT / 'docs' / 'core.md').read_text()
    functions, program = (part.split('```')[0] for part in text.split('```python\n')[1:])
    expected = text.split('and prints\n\n```\n')[1].split('```')[0]
    (tmp_path / 'inventory.py').write_text(functions)
    (tmp_path / 'program.py').write_text(program)
    ssh = tmp_path / 'ssh'
    ssh.write_text('#!/bin/sh\nfor command; do :; done\nexec /bin/sh -c "$command"\n')
    ssh.chmod(0o755)
    environ = {**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, 'program.py', 'host.example.org'], cwd=tmp_path, env=environ, check=False,
                          capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    assert (done.stdout, done.stderr, done.returncode) == (expected, '', 0)


def _boot(interpreter: Interpreter) -> str:
    return bootstrap.boot_command((interpreter.path,))
