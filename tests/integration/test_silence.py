"""A host that vanishes without a word: its network card goes down, nothing is reset."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.integration.support.control import Control
from tests.integration.support.hosts import Hosts, silent, wait_for

pytestmark = pytest.mark.timeout(480)
SECONDS = 120
GATE = '/run/gate'
PLAY = f'''
- hosts: t1,t2
  gather_facts: false
  tasks:
    - name: first
      command: echo first
    - name: long
      wait_for:
        path: {GATE}
        timeout: 300
    - name: next
      command: echo next
'''


@pytest.fixture
def gates(network: Hosts) -> Iterator[list[pathlib.Path]]:
    """What the long task waits for, on either host."""
    gates = [network.root(name) / GATE.lstrip('/') for name in ('t1', 't2')]
    yield gates
    for gate in gates:
        gate.unlink(missing_ok=True)


def start(control: Control, **variables: float):
    """The play, in the middle of its long task on both hosts."""
    control.watch_only('t1', 't2')
    path = control.folder / 'silence.yml'
    path.write_text(PLAY)
    before = {name: set(control.hosts.processes(name)) for name in ('t1', 't2')}
    extra = [word for key, value in variables.items() for word in ('-e', f'{key}={value}')]
    run = control.start('ansible-playbook', path, *extra)
    busy = wait_for(lambda: control.recorded().count('\n') == 2 and all(
        # a broker, its runner, and an executor in the long task and one that is ready
        len(set(control.hosts.processes(name)) - before[name]) >= 4 for name in before), SECONDS)
    assert busy, run.wait(1)
    return run


def test_a_host_that_vanishes_is_unreachable_and_the_others_go_on(control: Control, network: Hosts, gates) -> None:
    run = start(control, mitosis_alive_interval=1, mitosis_alive_timeout=4)
    with silent(network, 't2'):
        wait_for(lambda: '"unreachable"' in control.recorded(), SECONDS)
        gates[0].touch()
        done = run.wait(SECONDS)
    assert done.code == 4, str(done)
    found = {(record['host'], record['task']): record for record in done.records if record['event'] != 'stats'}
    assert found['t2', 'long']['event'] == 'unreachable'
    assert re.search(r'Lost the connection: ssh to \S+: no word for \d+ s; the host, or the way to it, may be down',
                     found['t2', 'long']['result']['msg'])
    assert found['t1', 'next']['event'] == 'ok'
    assert ('t2', 'next') not in found


def test_a_host_that_comes_back_in_time_goes_on(control: Control, network: Hosts, gates) -> None:
    run = start(control, mitosis_alive_interval=1, mitosis_alive_timeout=300)
    with silent(network, 't2'):
        told = wait_for(lambda: 'has been silent' in (control.folder / 'stderr').read_text(), SECONDS)
    back = wait_for(lambda: 'is back' in (control.folder / 'stderr').read_text(), SECONDS)
    for gate in gates:
        gate.touch()
    done = run.wait(SECONDS)
    assert told and back, str(done)
    assert done.code == 0, str(done)
    text = ' '.join(done.err.split())
    assert re.search(r'ssh to \S+ has been silent for [1-9]\d* s', text), done.err
    assert len(re.findall(r'has been silent', text)) == len(re.findall(r'is back', text)) == 1
