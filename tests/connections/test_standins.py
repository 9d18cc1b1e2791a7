"""Instances that are not there, do not run, or restart: ours says what stock says, and goes on where stock does."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

import pytest

from tests.connections.runs import HERE, Place, counted, here, pairs
from tests.connections.test_connections import INVENTORIES, hosts
from tests.integration.support.compare import by_host, differences
from tests.integration.support.control import Core, Finished

pytestmark = pytest.mark.timeout(600)
# Parts of what a program says, by the word that its instance is told; zone's plugin does not come that far.
SAYS = {'gone': ('not found', 'Not Found', 'TargetNotConnected', 'incorrect jail name'),
        'stopped': ('not running', 'completed pod', 'TargetNotConnected', 'incorrect jail name'),
        'denied': ('forbidden', 'not permitted', 'AccessDenied', 'access denied', 'does not have permission')}
Outcome = dict[str, list[dict[str, Any]]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if 'way' in metafunc.fixturenames:
        metafunc.parametrize(('core', 'way'), pairs(), ids=['-'.join(map(str, pair)) for pair in pairs()])


def play(core: Core, way: str, folder: pathlib.Path, playbook: str, *words: str,
         limit: str = '') -> tuple[Finished, Outcome]:
    """Run it, with all instances told these words; nothing may be left."""
    chosen = hosts(core, 'standins')
    zone = {'zone': {'ansible_connection': 'community.general.zone'}}
    place = Place(core, way, folder, INVENTORIES['standins'], {**chosen, **zone})
    for host in chosen:
        for word in words:
            place.tell(host, word)
    done = place.run(HERE / playbook, '-e', json.dumps({'standins': str(place.state)}), '--limit',
                     limit or ':'.join(chosen), seconds=200, ANSIBLE_TIMEOUT='5')
    left = [line for line in place.control.leftovers() if line.startswith('process')]
    assert not left, '\n'.join(left)
    return done, by_host(done.records, [(str(folder), 'FOLDER')])


def ends(outcome: Outcome, host: str) -> list[tuple[str, str]]:
    """How each task ended there."""
    return [(record['task'], record['event']) for record in outcome.get(host, []) if record['event'] != 'stats']


@pytest.mark.parametrize('word', SAYS)
def test_not_there(core: Core, way: str, word: str, tmp_path: pathlib.Path) -> None:
    stock_run, stock = play(core, 'stock', tmp_path / 'stock', 'misbehave.yml', word)
    ours_run, ours = play(core, way, tmp_path / 'ours', 'misbehave.yml', word)
    assert stock_run.code == ours_run.code, f'{stock_run}\n{ours_run}'
    for host in hosts(core, 'standins'):
        assert ends(ours, host) == ends(stock, host)
        for outcome in (stock, ours):
            texts = [json.dumps(record['result']) for record in outcome[host]
                     if record['event'] in ('failed', 'unreachable')]
            # Stock's words on a temporary folder leave out why.
            told = [text for text in texts if 'Failed to create temporary directory' not in text]
            assert told and all(any(part in text for part in SAYS[word]) for text in told), '\n'.join(texts)


def test_restart(core: Core, way: str, tmp_path: pathlib.Path) -> None:
    _, stock = play(core, 'stock', tmp_path / 'stock', 'restart.yml')
    done, ours = play(core, way, tmp_path / 'ours', 'restart.yml')
    assert done.seconds < 150
    for host in hosts(core, 'standins'):
        one, two = dict(ends(stock, host)), dict(ends(ours, host))
        # A task that loses its host has failed under stock, where nobody knows better.
        for name in ('restart in a task', 'restart in a raw command'):
            assert one.pop(name) in ('failed', 'unreachable') and two.pop(name) in ('failed', 'unreachable')
        assert set(one.values()) == {'ok'}
        assert one == two, done


@pytest.mark.parametrize('what', ['no program', 'no option'])
def test_own_errors(core: Core, way: str, what: str, tmp_path: pathlib.Path) -> None:
    """What the plugin finds missing itself, it says itself."""
    variables = {'no program': {'ansible_connection': 'community.okd.oc'},
                 'no option': {'ansible_connection': 'community.docker.nsenter'}}[what]
    if not here(variables['ansible_connection']):
        pytest.skip(f'{variables["ansible_connection"]} is not here')
    told = []
    for each in ('stock', way):
        inventory = tmp_path / f'{each}.yml'
        inventory.write_text(json.dumps({'standins': {'hosts': {'h': variables}}}))
        # Short names: there will be sockets.
        place = Place(core, each, tmp_path / each[-2:], inventory, {'h': variables})
        done = place.run(HERE / 'misbehave.yml', seconds=60, path='{}')
        told.append([(record['task'], record['event'], re.sub(r'[\d.-]{9,}', 'N', str(record['result'].get('msg'))))
                     for record in done.records if record['event'] in ('ok', 'failed', 'unreachable')])
        assert told[-1] and all(event != 'ok' for _, event, _ in told[-1]), str(done)
    assert told[0] == told[1]


MIXED = [{'hosts': 'standins', 'gather_facts': False, 'tasks': [
    {'command': 'hostname'}, {'copy': {'content': 'x', 'dest': '/tmp/mitosis-mixed-{{ inventory_hostname }}'}},
    {'file': {'path': '/tmp/mitosis-mixed-{{ inventory_hostname }}', 'state': 'absent'}}]}]


def test_side_by_side(core: Core, way: str, tmp_path: pathlib.Path) -> None:
    """A plugin that works by itself, without a command, goes the stock way beside others, and is counted."""
    inventory, playbook = tmp_path / 'mixed.yml', tmp_path / 'play.yml'
    mine = {'strategy': 'local', 'connection': 'mitosis.express.local'}[way]
    inventory.write_text(json.dumps({'standins': {'vars': {'ansible_python_interpreter': '/usr/bin/python3'}, 'hosts': {
        'inside': {'ansible_connection': 'inprocess'}, 'fast': {'ansible_connection': mine}}}}))
    playbook.write_text(json.dumps(MIXED))
    place = Place(core, way, tmp_path / 'run', inventory, {})
    place.control.inventories = [inventory]
    done = place.run(playbook, seconds=100, path='{}')
    assert done.code == 0, str(done)
    assert counted(done) == {'strategy': (3, ['3 inprocess connection']), 'connection': (0, [])}[way], str(done)


def test_broken(core: Core, way: str, tmp_path: pathlib.Path) -> None:
    """A plugin that fails of itself fails with us in its own words."""
    if not here('community.general.zone') or os.geteuid():
        pytest.skip('community.general is not here, or we are not root')
    _, stock = play(core, 'stock', tmp_path / 'stock', 'misbehave.yml', limit='zone')
    _, ours = play(core, way, tmp_path / 'ours', 'misbehave.yml', limit='zone')
    assert ends(stock, 'zone') and ends(ours, 'zone') == ends(stock, 'zone')
    found = [line for one, two in zip(stock['zone'], ours['zone'], strict=True)
             for line in differences(one['result'].get('msg'), two['result'].get('msg'))]
    assert not found, '\n'.join(found)
