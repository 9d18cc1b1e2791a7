"""What may share a worker, and how the hosts of a task are told apart in it."""

from __future__ import annotations

import collections
import contextlib
import queue as queue_module
import threading
import types

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task

from tests.support import collection

shards = collection.load('plugins.plugin_utils._shards')
shard = collection.load('plugins.plugin_utils._compat.shard')
baton = collection.load('plugins.plugin_utils._baton')
scheduling = collection.load('plugins.plugin_utils._compat.scheduling')

NAMES = {'ssh', 'local', 'mitosis.express.ssh'}


def task(**words):
    return Task.load({'name': 'x', **words}, loader=DataLoader())


def may(variables=None, **words):
    host, variables = types.SimpleNamespace(name='h'), {'ansible_connection': 'ssh', **(variables or {})}
    entry = shard.Entry(host, task(**words), variables, None)
    return shards.Sharing(NAMES.__contains__).may(entry)


@pytest.mark.parametrize('words', [
    {'command': 'id'}, {'debug': {'msg': 'x'}}, {'copy': {'content': 'x', 'dest': '/x'}},
    {'ansible.builtin.shell': 'x'}, {'command': 'id', 'async': 10, 'poll': 0}, {'command': 'id', 'loop': [1]},
    {'command': 'id', 'become': True},
    {'debug': {'msg': "{{ lookup('file', 'x') }}"}}, {'debug': {'msg': "{{ query('ansible.builtin.env', 'x') }}"}},
    {'command': 'id', 'with_items': [1]}, {'command': 'id', 'delegate_to': 'localhost'},
    {'command': 'id', 'when': 'x', 'register': 'x', 'ignore_errors': True, 'no_log': True},
])
def test_what_shares(words):
    assert may(**words)


@pytest.mark.parametrize('words', [
    {'command': 'id', 'timeout': 3}, {'command': 'id', 'timeout': '{{ x }}'}, {'command': 'id', 'until': 'x'},
    {'command': 'id', 'retries': 2}, {'command': 'id', 'throttle': 1}, {'command': 'id', 'run_once': True},
    {'command': 'id', 'debugger': 'always'}, {'command': 'id', 'async': 10, 'poll': 2}, {'pause': {'seconds': 1}},
    {'reboot': {}}, {'wait_for_connection': {}}, {'command': 'id', 'loop': [1], 'loop_control': {'pause': 1}},
    {'debug': {'msg': "{{ lookup('pipe', 'x') }}"}}, {'debug': {'msg': '{{ lookup(name) }}'}},
    {'debug': {'msg': 'x'}, 'when': "query('ansible.builtin.url', 'x')"}, {'command': 'id', 'with_lines': 'x'},
    {'command': 'id', 'delegate_to': 'other'}, {'command': 'id', 'delegate_to': '{{ x }}'}, {'action': '{{ x }}'},
])
def test_what_does_not(words):
    assert not may(**words)


@pytest.mark.parametrize('name', ['docker', '{{ x }}', 'ansible.netcommon.network_cli'])
def test_connections_that_are_not_ours(name):
    assert not may({'ansible_connection': name}, command='id')
    assert may({'ansible_connection': name}, debug={'msg': 'x'})


def test_one_thread_at_a_time():
    stick, running, most, said = baton.Baton(), [], [], []

    def work(number):
        with stick.held(lambda waits: said.append((number, waits))):
            for _ in range(20):
                running.append(number)
                most.append(len(running))
                running.remove(number)
                with baton.waiting():
                    pass
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(most) == {1}
    assert [waits for number, waits in said if number == 3] == [True, False] * 20


def test_those_that_wait_let_others_run():
    stick, met = baton.Baton(), threading.Barrier(4, timeout=30)

    def work():
        with stick.held(lambda waits: None), baton.waiting():
            met.wait()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not met.broken


def test_waits_within_waits():
    stick, said = baton.Baton(), []
    with stick.held(said.append):
        with baton.waiting(), baton.waiting():
            assert stick._lock.acquire(timeout=0)
            stick._lock.release()
        assert not stick._lock.acquire(timeout=0)
    assert said == [True, False]


def test_without_a_baton_nothing_happens():
    with baton.waiting(), baton.waiting():
        pass


class Worker:
    """What of a WorkerProcess is used."""

    def __init__(self, loader):
        self._loader = loader


def entries(number):
    loader = DataLoader()
    hosts = [types.SimpleNamespace(name=f'h{n}', vars={'x': n}, groups=[n]) for n in range(number)]
    return [shard.Entry(host, task(debug={'msg': 'x'}), {'n': n}, None) for n, host in enumerate(hosts)], Worker(loader)


@pytest.mark.parametrize('width', [1, 3, 20])
def test_a_shard(monkeypatch, width):
    monkeypatch.setattr(shard, 'task_context', lambda *task: contextlib.nullcontext())
    found, worker = entries(6)
    ran = []

    def run_one(one):
        with baton.waiting():
            ran.append((one._host.name, one._task_vars['n'], one._task))
        one._host.vars, one._host.groups, one._task.args = {}, [], {'msg': 'changed'}
        one._loader._tempfiles.add(one._host.name)
    made = shard.Shard(found, width, baton.Baton(), lambda: None)
    made.run(worker, run_one)
    assert sorted((name, n) for name, n, _ in ran) == [(f'h{n}', n) for n in range(6)]
    assert len({id(task) for _, _, task in ran}) == 6
    for n, entry in enumerate(found):
        assert (entry.host.vars, entry.host.groups, entry.task.args) == ({'x': n}, [n], {'msg': 'x'})
        assert entry.task._uuid == next(task._uuid for name, _, task in ran if name == entry.host.name)
    assert worker._loader._tempfiles == set()
    assert made.left() == ([], [])


def test_a_shard_in_which_some_die(monkeypatch):
    monkeypatch.setattr(shard, 'task_context', lambda *task: contextlib.nullcontext())
    monkeypatch.setattr(shard.display, 'error', lambda *args, **kwargs: None)
    found, worker = entries(4)

    def run_one(one):
        if one._task_vars['n'] in (1, 2):
            raise KeyboardInterrupt
    made = shard.Shard(found, 1, baton.Baton(), lambda: None)
    made.run(worker, run_one)
    assert made.left() == ([], found[1:3])


def test_a_worker_that_was_killed():
    found, _ = entries(5)
    made = shard.Shard(found, 2, baton.Baton(), lambda: None)
    made.states[0], made.states[1], made.states[2] = shard.DONE, shard.RUNNING, shard.WAITING
    assert made.left() == (found[3:], found[1:3])


class Strategy:
    """What of a StrategyBase is used; hosts have been queued when `queued` has them."""

    def __init__(self, forks, hosts):
        self._workers, self._hosts_cache = [None] * forks, [f'h{n}' for n in range(hosts)]
        self._pending_results, self.debugger_active, self._step = 0, False, False
        self._queued_task_cache, self._final_q, self._tqm = {}, None, self
        self.queued, self.shard, self.worker = [], None, None
        self.told, self.widths = [], []

    def send_callback(self, name, host, task):
        self.told.append(host.name)

    # of Methods
    def queue_task(self, strategy, *entry):
        shard, self.shard = self.shard, None
        self.queued.append([entry[0].name] if shard is None else [each.host.name for each in shard.entries])
        self.told.append(entry[0].name)
        if shard:
            shard.before_start()
            assert all((name, entry[1]._uuid) in self._queued_task_cache for name in self.queued[-1][1:])
        self.widths.append(shard.width if shard else 1)
        self.worker = types.SimpleNamespace(shard=shard, is_alive=lambda: True)
        self._workers[self._workers.index(None)] = self.worker
        self._pending_results += 1


def queue(strategy, hosts, workers, may=lambda entry: True):
    shared = scheduling.Shared(strategy, strategy, may, lambda entry: workers, baton.Baton)
    found, _ = entries(hosts)
    found = [entry._replace(task=found[0].task) for entry in found]
    for entry in found:
        shared.queue(entry)
    assert strategy._pending_results == hosts
    shared.flush()
    assert strategy._pending_results == hosts
    return strategy.queued


@pytest.mark.parametrize(('forks', 'hosts', 'workers', 'expected'), [
    (5, 1, 2, ['h0']), (5, 2, 2, ['h0', 'h1']), (5, 3, 2, ['h0 h1', 'h2']), (5, 5, 2, ['h0 h1 h2', 'h3 h4']),
    (1, 4, 2, ['h0 h1 h2 h3']), (2, 5, 2, ['h0 h1 h2', 'h3 h4']), (5, 4, 1, ['h0 h1 h2 h3']),
    (5, 3, 0, ['h0', 'h1', 'h2']),
    (9, 3, 8, ['h0', 'h1', 'h2']), (9, 6, 4, ['h0 h1', 'h2', 'h3 h4', 'h5']),
])
def test_who_shares_with_whom(forks, hosts, workers, expected):
    strategy = Strategy(forks, hosts)
    assert [' '.join(names) for names in queue(strategy, hosts, workers)] == expected
    assert strategy.told == [f'h{n}' for n in range(hosts)]
    # As many at a time as there are forks, all of them where there are enough.
    assert sum(min(width, len(names)) for width, names in zip(strategy.widths, strategy.queued, strict=True)) == min(
        forks, hosts)


def test_what_has_no_fork_waits():
    strategy = Strategy(2, 4)
    shared = scheduling.Shared(strategy, strategy, lambda entry: True, lambda entry: 1, baton.Baton)
    found, _ = entries(4)
    found = [entry._replace(task=found[0].task) for entry in found]
    for entry in found[:3]:
        shared.queue(entry)
    shared.flush()
    assert strategy.queued == [['h0', 'h1', 'h2']] and strategy.widths == [2]
    shared.queue(found[3])
    shared.flush()
    assert len(strategy.queued) == 1 and strategy._pending_results == 4
    strategy.worker.shard.states[:2] = bytes([shard.DONE] * 2)
    shared.flush()
    assert strategy.queued[1:] == [['h3']] and strategy._pending_results == 4


def test_descriptors_of_a_worker(monkeypatch):
    monkeypatch.setattr(scheduling.resource, 'getrlimit', lambda which: (64 + 8 * 2 + 3, 1000))
    strategy = Strategy(6, 8)
    assert [len(hosts) for hosts in queue(strategy, 8, 1)] == [3, 3, 2]
    assert strategy.widths == [2, 2, 2]


def test_all_at_once_or_not_yet():
    """A worker of the task before is still ending."""
    strategy = Strategy(3, 3)
    strategy._workers[0] = before = types.SimpleNamespace(shard=None, is_alive=lambda: True)
    shared = scheduling.Shared(strategy, strategy, lambda entry: True, lambda entry: 1, baton.Baton)
    found, _ = entries(3)
    for entry in found:
        shared.queue(entry._replace(task=found[0].task))
    assert not strategy.queued
    before.is_alive = lambda: False
    strategy._workers[0] = None
    shared.flush()
    assert strategy.queued == [['h0', 'h1', 'h2']] and strategy.widths == [3]


def test_those_that_may_not_share_do_not_wait():
    strategy = Strategy(5, 4)
    assert queue(strategy, 4, 1, lambda entry: entry.task_vars['n'] != 1) == [['h1'], ['h0', 'h2', 'h3']]


def test_a_strategy_that_is_not_as_expected():
    with pytest.raises(Exception, match='no _workers, _pending_results'):
        scheduling.Shared(object(), None, None, None, None)


def test_arrivals_wake_who_waits():
    strategy = types.SimpleNamespace(_results=collections.deque(['before']), _results_lock=threading.Condition(),
                                     _rpc_queue=queue_module.Queue())
    arrivals = scheduling.Arrivals(strategy)
    assert list(strategy._results) == ['before'] and not arrivals.wait(0)
    for send in (strategy._results.append, strategy._rpc_queue.put):
        threading.Thread(target=send, args=(1,)).start()
        assert arrivals.wait(20) and not arrivals.wait(0)
    assert list(strategy._results) == ['before', 1] and strategy._rpc_queue.get(block=False) == 1


@pytest.mark.parametrize('change', [{'_results': []}, {'_results_lock': None}, {'_rpc_queue': object()}])
def test_arrivals_that_are_not_as_expected(change):
    strategy = types.SimpleNamespace(_results=collections.deque(), _results_lock=threading.Condition(),
                                     _rpc_queue=None)
    vars(strategy).update(change)
    if strategy._results_lock is None:
        del strategy._results_lock
    with pytest.raises(Exception, match='where results of workers arrive'):
        scheduling.Arrivals(strategy)
