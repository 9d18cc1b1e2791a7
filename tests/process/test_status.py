"""What the multiplexer and brokers say of themselves, when they are asked and when they get SIGUSR1."""

from __future__ import annotations

import os
import pathlib
import signal

from mitogen_core.controller.report import lines
from mitogen_core.controller.status import SECONDS as ANSWER_SECONDS
from mitogen_core.wire.constants import ROOT
from tests.support import leaks
from tests.support.engine import SECONDS, Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.standin import Runners


def tree_of(engine: Engine) -> dict:
    return dict(engine.client.call(ROOT, 'status', 'tree', {}, timeout=SECONDS)[0])


def test_a_tree_at_work(engine: Engine, edge: Interpreter, fifo):
    gate = fifo('gate')
    chain = [login('host', boot_argv(edge.path)), login('account', boot_argv(edge.path))]
    host, account = engine.get(*chain)[0]
    handle = Runners(engine, account).start(f'open({gate!r}).read()')
    leaks.wait_until(lambda: len(leaks.descendants(engine.pid_of(account))) > 2, 'a runner and its executor')
    tree = tree_of(engine)
    by_id = {context['id']: context for context in tree['contexts']}
    assert set(by_id) == {host, account} and tree['pid'] == engine.mux_pid
    [call] = [call for call in tree['calls'] if call['context'] == account]
    assert call['seconds'] >= 0
    status = by_id[account]['status']
    assert status['pid'] == engine.pid_of(account)
    assert [runner['busy'] for runner in status['runners']] == [True]
    assert [call['state'] for call in status['calls'] if call['handle'] == handle] == ['running']
    assert set(by_id[host]['status']['links']) == {'parent', str(account)}
    text = '\n'.join(tree['lines'])
    for words in ('context %d, host: ' % host, '    context %d, account: ' % account, '1 runners, 1 busy',
                  'waits for context %d' % account, 'link to parent: heard 0.'):
        assert words in text, text
    with open(gate, 'w'):
        pass
    engine.wait(handle)
    assert '0 calls under way' in tree_of(engine)['lines'][0]


def test_one_that_does_not_answer(engine: Engine, edge: Interpreter):
    host, stopped = (engine.get(login(name, boot_argv(edge.path), alive=[0, 0]))[0][0] for name in ('host', 'stopped'))
    pid = engine.pid_of(stopped)
    os.kill(pid, signal.SIGSTOP)
    found = {context['id']: context['status'] for context in tree_of(engine)['contexts']}
    os.kill(pid, signal.SIGCONT)
    assert found[stopped] == {'error': f'no answer within {ANSWER_SECONDS} s'}
    assert found[host]['calls']
    assert 'error' not in tree_of(engine)['contexts'][1]['status']


def test_what_a_target_says_may_be_anything():
    empty = {'pid': 1, 'clients': 0, 'calls': [], 'modules': {'files': 0}, 'channels': [], 'links': {}}
    context = {'id': 1, 'name': 'x', 'hops': 1, 'ready': True, 'user': 'u', 'host': 'h', 'pid': 2}
    for status in (None, 7, [], {}, {'runners': 7}, {'runners': [], 'files': 0, 'calls': [{}], 'links': {}}):
        assert len(list(lines(dict(empty, contexts=[dict(context, status=status)])))) in (2, 3)


def test_a_signal_to_the_multiplexer(engine: Engine, edge: Interpreter):
    context = engine.local(edge.path)
    os.kill(engine.mux_pid, signal.SIGUSR1)
    leaks.wait_until(lambda: f'context {context}, local: ' in engine.logged(), 'the tree in the log')
    assert engine.status()['pid'] == engine.mux_pid


def test_a_signal_to_a_multiplexer_without_a_log(tmp_path: pathlib.Path, clean: str, edge: Interpreter):
    engine = Engine(tmp_path, clean, log=False)
    try:
        context = engine.local(edge.path)
        os.kill(engine.mux_pid, signal.SIGUSR1)
        file = engine.folder / 'status.txt'
        leaks.wait_until(lambda: file.exists() and f'context {context}, local: ' in file.read_text(), 'the tree')
    finally:
        engine.stop()


def test_a_signal_to_a_broker(engine: Engine, edge: Interpreter):
    context = engine.local(edge.path)
    Runners(engine, context).probe('result["x"] = signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL')
    pid = engine.pid_of(context)
    os.kill(pid, signal.SIGUSR1)
    leaks.wait_until(lambda: f'"pid": {pid}' in engine.logged(), 'its words in the log')
    assert engine.pid_of(context) == pid
    done = Runners(engine, context).probe('result["default"] = signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL')
    assert done.value['default']
