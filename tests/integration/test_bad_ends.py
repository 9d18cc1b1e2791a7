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
from tests.integration.support.control import GONE_SECONDS, WAYS, Control, Core, Finished
from tests.integration.support.hosts import Hosts, command_line, wait_for

pytestmark = pytest.mark.timeout(480)

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


LINK = r'Lost the connection: ssh to \S+: the link ended'
# name -> how it is ended; what the long task says, or None where that ends the run.
VICTIMS: dict[str, tuple[Callable[[Scene], None], str | None]] = {
    'Ctrl-C': (interrupt, None),
    'ansible-playbook': (lambda scene: kill([scene.run.process.pid]), None),
    'the multiplexer': (lambda scene: kill(scene.control.pids('controller.supervisor')),
                        'Lost the connection: the multiplexer ended while waiting for module ansible.modules.command'),
    'the ssh client': (lambda scene: kill(scene.control.pids('ControlMaster=no')), LINK + r' \(exit code -9\)'),
    'sshd': (lambda scene: kill([parent(scene.ancestors()[-1])]), LINK + r' \(exit code 255\)'),
    'the broker': (lambda scene: kill(scene.ancestors()[-1:]), LINK),
    'a runner': (lambda scene: kill(scene.ancestors()[1:2]), r'the runner \(pid \d+\) died during the call'),
    'the process that runs the module': (lambda scene: kill(scene.ancestors()[:1]), 'rc": 137'),
}


@dataclasses.dataclass
class Outcome:
    finished: Finished
    sleeper_gone: bool
    leftovers: list[str]
    next_run: Finished | None


def play(control: Control, hosts: Hosts, host: str, number: int, victim: str) -> Outcome:
    path = control.folder / 'play.yml'
    seconds = 6000 + number
    path.write_text(PLAY.format(host=host, seconds=seconds))
    end, message = VICTIMS[victim]
    scene = Scene(control, hosts, host, control.start('ansible-playbook', path), seconds)
    try:
        assert wait_for(lambda: bool(scene.sleepers()), 60), f'{victim}: the task did not begin'
        time.sleep(0.2)
        end(scene)
        gone = wait_for(lambda: not scene.sleepers(), GONE_SECONDS)
        for pid in scene.sleepers():
            os.kill(pid, signal.SIGKILL)
    finally:
        finished = scene.run.wait(60)
    leftovers = control.leftovers()
    return Outcome(finished, gone, leftovers, None if message else control.adhoc(host, '-m', 'ping'))


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
    outcome, message = outcomes[victim].result(), VICTIMS[victim][1]
    finished = outcome.finished
    # The kernel kills no children: a command outlives the module that started it, as under stock.
    assert outcome.sleeper_gone or victim == 'the process that runs the module'
    if victim == 'ansible-playbook':
        # What it can't remove itself any more is its own, but for one empty folder.
        own = re.compile(r'^file .*/(ansible-local-[^/]+(/ansiballz_cache.*|/mitosis(\.count)?)?|pymp-[^/]+(/listener.*)?)$')
        outcome.leftovers = [line for line in outcome.leftovers if not own.match(line)]
    assert not outcome.leftovers, '\n'.join(outcome.leftovers)
    if message is None:
        assert finished.code != 0
        assert outcome.next_run.code == 0, str(outcome.next_run)
        said = finished.err.strip() or f'(nothing; exit code {finished.code})'
    else:
        said = next(line for line in finished.out.split('\n') if line.startswith('fatal: '))
        assert re.search(message, said), str(finished)
        assert 'Traceback' not in finished.text
        assert [record['event'] for record in finished.records if record['task'] == 'next'] == ['ok'], str(finished)
    if (core, way) == (Core.all()[0], WAYS[0]):
        report.note('Ctrl-C, and kill -9 of a process during `command: sleep`', victim[0].upper() + victim[1:], said,
                    core.version)
