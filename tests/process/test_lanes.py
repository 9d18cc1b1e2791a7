"""Requests in lanes, over a real multiplexer and broker."""

from __future__ import annotations

import json
import os

import pytest

from mitogen_core.wire.errors import CallError
from tests.support.engine import SECONDS
from tests.support.leaks import wait_until
from tests.support.standin import Runners


@pytest.fixture
def runners(shared) -> Runners:
    return Runners(shared.engine, shared.context)


class Passed(Exception):
    """The multiplexer has passed a request on."""


def passed(head, bulk) -> None:
    if head == {'sent': True}:
        raise Passed


def test_a_lane(runners, shared, fifo, tmp_path):
    """Modules of a lane run by their numbers, however they come, those of other lanes beside them; one is cancelled."""
    engine, there, path = shared.engine, fifo('there'), str(tmp_path / 'order')
    clients = [engine.connect() for _ in range(5)]
    note = f'open({path!r}, "a").write(module.params["code"][-1])'
    handles = {}
    for number in (3, 1, 2, 0):
        code = f'open({there!r}).read(); {note}' if number == 0 else note
        handles[number] = runners.start(f'{code}  # {number}', client=clients[number], lane=['one', number], tell=True)
        with pytest.raises(Passed):
            clients[number].wait(handles[number], 'that it is passed on', 20, passed)
    clients[2].close()
    other = runners.start(f'{note}  # x', client=clients[4], lane=['two', 0])
    assert engine.wait(other, clients[4]).rc == 0
    with open(path) as file:
        assert file.read() == 'x'
    open(there, 'w').close()
    assert [engine.wait(handles[n], clients[n]).rc for n in (3, 1, 0)] == [0, 0, 0]
    with open(path) as file:
        assert file.read() == 'x013'
    for client in clients:
        client.close()


def test_a_module_of_a_lane_that_dies(runners, shared):
    heads = []
    first = runners.start('os.kill(os.getppid(), signal.SIGKILL)', lane=['lane', 0], tell=True)
    other = shared.engine.connect()
    second = runners.start('result["fine"] = True', client=other, lane=['lane', 1])
    with pytest.raises(CallError, match='died'):
        shared.engine.client.wait(first, 'a module', 20, on_progress=lambda head, bulk: heads.append(head))
    assert heads == [{'sent': True}]
    assert shared.engine.wait(second, other).value['fine']
    other.close()


def test_a_lane_without_code(runners):
    with pytest.raises(CallError) as failed:
        runners.probe('', lane=['code', 0], payload='nothing')
    assert failed.value.kind == 'need-code'
    assert runners.probe('', lane=['code', 0]).rc == 0


def test_only_in_its_context(runners, shared):
    """A number of a lane in one context is none in another."""
    assert runners.probe('', lane=['only', 0], only=shared.context).rc == 0
    with pytest.raises(CallError) as failed:
        runners.probe('', lane=['only', 1], only=shared.context + 1)
    assert failed.value.kind == 'need-context'


# --- other requests

def expecting(shared, number: int, script: str, out: str = '', name: str = 'lane', **more) -> int:
    """A command that should print `out`."""
    args = {'argv': ['/bin/sh', '-c', script], 'lane': [name, number],
            'expect': [{'rc': 0, 'out': len(out)}, out.encode()]}
    return shared.engine.client.start(shared.context, 'processes', 'exec', dict(args, **more))


def write(shared, number: int, path, data: bytes, name: str = 'lane') -> int:
    args = {'path': str(path), 'offset': 0, 'mode': 0o600, 'lane': [name, number], 'expect': [None, b'']}
    return shared.engine.client.start(shared.context, 'files', 'write', args, data)


def answers(shared, *handles: int) -> list:
    found = []
    for handle in handles:
        try:
            value, bulk = shared.engine.client.wait(handle, 'an answer', SECONDS)
            found.append(bulk.decode() if value else value)
        except CallError as e:
            found.append(e.kind)
    return found


def test_as_expected(shared, tmp_path):
    """A large file does not come after the small command that reads it."""
    data = os.urandom(1 << 20)
    handles = [expecting(shared, 0, f'mkdir {tmp_path}/made; echo made', 'made\n', 'fine'),
               write(shared, 1, tmp_path / 'made/file', data, 'fine'),
               expecting(shared, 2, f'stat -c %s {tmp_path}/made/file', '1048576\n', 'fine')]
    assert answers(shared, *handles) == ['made\n', None, '1048576\n']


@pytest.mark.parametrize('wrong', ['echo more', 'echo made; echo >&2 warning', 'echo made; exit 1', 'kill -9 $$'])
def test_not_as_expected(shared, tmp_path, wrong: str):
    name = f'wrong {wrong}'
    handles = [expecting(shared, 0, wrong, 'made\n', name), write(shared, 1, tmp_path / 'file', b'data', name),
               expecting(shared, 2, f'touch {tmp_path}/touched', '', name)]
    assert answers(shared, *handles)[1:] == ['stopped', 'stopped']
    assert answers(shared, expecting(shared, 3, 'true', '', name)) == ['stopped']
    assert not (tmp_path / 'file').exists() and not (tmp_path / 'touched').exists()


def test_a_write_that_fails(shared, tmp_path):
    handles = [write(shared, 0, tmp_path / 'nowhere/file', b'data', 'write'), expecting(shared, 1, 'true', '', 'write')]
    assert answers(shared, *handles) == ['os', 'stopped']


STAT = {'changed': False, 'stat': {'exists': True, 'checksum': 'x'}}
SAME, OTHER = {'stat': {'checksum': 'x'}}, {'stat': {'exists': True}}


@pytest.mark.parametrize(('choices', 'found'), [
    ([[SAME], [OTHER]], ['same\n', 'skipped']), ([[], [OTHER]], ['skipped', 'other\n']),
    ([[], [{'stat': {'exists': False}}]], ['stopped', 'stopped'])])
def test_choices(shared, choices, found):
    name = f'choices {choices}'
    args = {'argv': ['/bin/echo', json.dumps(STAT)], 'lane': [name, 0], 'choices': choices}
    handles = [shared.engine.client.start(shared.context, 'processes', 'exec', args),
               expecting(shared, 1, 'echo same', 'same\n', name, choice=0),
               expecting(shared, 2, 'echo other', 'other\n', name, choice=1)]
    assert answers(shared, *handles)[1:] == found


def test_a_folder_is_removed_with_its_broker(engine, edge, tmp_path):
    """One that nobody asked to remove, or whose removal came too late."""
    context = engine.local(edge.path)
    for name in ('left', 'removed'):
        command = {'argv': ['/bin/mkdir', str(tmp_path / name)], 'makes': str(tmp_path / name)}
        assert engine.client.call(context, 'processes', 'exec', command)[0]['rc'] == 0
    (tmp_path / 'left/file').touch()
    command = {'argv': ['/bin/rmdir', str(tmp_path / 'removed')], 'removes': str(tmp_path / 'removed')}
    assert engine.client.call(context, 'processes', 'exec', command)[0]['rc'] == 0
    (tmp_path / 'removed').mkdir()
    engine.stop()
    wait_until(lambda: not (tmp_path / 'left').exists(), 'the folder to be removed')
    assert (tmp_path / 'removed').exists()


def test_a_removal_that_nobody_waits_for(shared, fifo, tmp_path):
    there, other = fifo('there'), shared.engine.connect()
    other.start(shared.context, 'processes', 'exec', {
        'argv': ['/bin/sh', '-c', f'echo >{there}; cat {there}; touch {tmp_path}/done'], 'removes': '/nowhere'})
    with open(there) as file:
        file.read()
    other.close()
    shared.engine.client.call(shared.context, 'files', 'expanduser', {'path': '~'})
    open(there, 'w').close()
    wait_until((tmp_path / 'done').exists, 'the command to end')
