"""Processes that are killed, and Ctrl-C, in the middle of a task."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.support import report
from tests.integration.support.control import WAYS, Control, Core, Finished
from tests.integration.support.hosts import Hosts, command_line, wait_for

pytestmark = pytest.mark.timeout(240)

PLAY = '''
- hosts: {host}
  gather_facts: false
  tasks:
    - name: long
      command: sleep {seconds}
      ignore_unreachable: true
      ignore_errors: true
    - name: next
      command: echo next
'''
FIRST_STAGE = 'binascii'


@dataclasses.dataclass
class Scene:
    """A run in the middle of its long task."""

    control: Control
    hosts: Hosts
    host: str
    run: Any
    seconds: int

    def ancestors(self) -> list[int]:
        """The processes on the target from the module's down to the first that is ours, the broker."""
        pid = self.sleepers()[0]
        found = []
        while FIRST_STAGE in command_line(pid := parent(pid)):
            found.append(pid)
        return found

    def sleepers(self) -> list[int]:
        return [pid for pid, line in self.hosts.processes(self.host).items() if line == f'sleep {self.seconds}']


def parent(pid: int) -> int:
    return int(pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])


def kill(pids: list[int], signum: int = signal.SIGKILL) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signum)


def interrupt(scene: Scene) -> None:
    os.killpg(scene.run.process.pid, signal.SIGINT)


# name -> who is killed, whether the run goes on, what the long task's message says
VICTIMS: dict[str, tuple[Callable[[Scene], None], bool, str]] = {
    'Ctrl-C': (interrupt, False, ''),
    'ansible-playbook': (lambda scene: kill([scene.run.process.pid]), False, ''),
    'the multiplexer': (lambda scene: kill(scene.control.pids('controller.supervisor')), True, ''),
    'the ssh client': (lambda scene: kill(scene.control.pids('ControlMaster=no')), True, ''),
    'the broker': (lambda scene: kill(scene.ancestors()[-1:]), True, ''),
    'a runner': (lambda scene: kill(scene.ancestors()[1:2]), True, ''),
    'the process that runs the module': (lambda scene: kill(scene.ancestors()[:1]), True, ''),
    'sshd': (lambda scene: kill([parent(scene.ancestors()[-1])]), True, ''),
}


@dataclasses.dataclass
class Outcome:
    finished: Finished
    ended: float       # seconds from the kill to the end of the long task's processes
    sleeper_gone: bool
    leftovers: list[str]
    next_run: Finished


def play(control: Control, hosts: Hosts, host: str, number: int, victim: str) -> Outcome:
    path = control.folder / 'play.yml'
    seconds = 6000 + number
    path.write_text(PLAY.format(host=host, seconds=seconds))
    scene = Scene(control, hosts, host, control.start('ansible-playbook', path), seconds)
    try:
        assert wait_for(lambda: bool(scene.sleepers()), 40), f'{victim}: the task did not begin'
        time.sleep(0.2)
        began = time.monotonic()
        VICTIMS[victim][0](scene)
        gone = wait_for(lambda: not scene.sleepers(), 10)
        ended = time.monotonic() - began
    finally:
        finished = scene.run.wait(40)
    leftovers = control.leftovers()
    return Outcome(finished, ended, gone, leftovers, control.adhoc(host, '-m', 'ping'))


@pytest.fixture(scope='module')
def many(network: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """A host for each victim."""
    hosts = Hosts.up(len(VICTIMS), tmp_path_factory.mktemp('ends') / 'hosts')
    yield hosts
    hosts.down()


@pytest.fixture(scope='module')
def outcomes(many: Hosts, tmp_path_factory: pytest.TempPathFactory, core: Core, way: str) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp('ends')
    controls = [Control(core, way, many, folder / str(n)) for n in range(len(VICTIMS))]
    for control in controls:
        control.watch_only(f't{controls.index(control) + 1}')
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return {victim: pool.submit(play, control, many, f't{n + 1}', n, victim)
                for n, (victim, control) in enumerate(zip(VICTIMS, controls, strict=True))}


@pytest.mark.parametrize('victim', VICTIMS)
def test_bad_end(outcomes: dict[str, Any], victim: str, core: Core, way: str) -> None:
    outcome = outcomes[victim].result()
    print('\n#####', victim, 'sleeper gone', outcome.sleeper_gone, '%.1f' % outcome.ended, 'left', outcome.leftovers, 'code', outcome.finished.code, 'next', outcome.next_run.code)
    print(outcome.finished.out[-1500:]); print('ERR', outcome.finished.err[-1500:])
