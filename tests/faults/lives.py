"""Long lives: many tasks through one multiplexer and one target, many connects, many tasks of real playbooks.  Memory,
descriptors and threads of each process are to stay as they are.  Started by `./dev lives`."""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'bench'))

from mitogen_core.controller.client import Client
from mitogen_core.wire.constants import ROOT as MUX
from tests.support import collection, leaks
from tests.support.engine import SECONDS, Engine, boot_argv, login

# Of a life, what is still growing into its size: caches, the interpreter's own free lists.
YOUTH = 0.1
# How often memory is looked at.
LOOKS = 100
# Turns, and tasks in each.
TURNS, BATCH = 10, 30
# One of so many connects is ended by killing its broker.
KILLED = 10


@dataclass
class Life:
    """A process: anonymous memory (of files, and of what it shares, others decide too), descriptors and threads, each
    after so many tasks; and its share of all memory (PSS) at last."""

    pid: int
    memory: list[tuple[int, int]] = field(default_factory=list)
    pss: int = 0
    fds: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def look(self, done: int) -> None:
        lines = pathlib.Path(f'/proc/{self.pid}/smaps_rollup').read_text().splitlines()[1:]
        sizes = {name: 1024 * int(rest.split()[0]) for name, rest in (line.split(':') for line in lines)}
        self.memory.append((done, sizes['Anonymous']))
        self.pss = sizes['Pss']
        self.fds.append(len(os.listdir(f'/proc/{self.pid}/fd')))
        self.threads.append(len(os.listdir(f'/proc/{self.pid}/task')))

    @property
    def old(self) -> list[tuple[int, int]]:
        return self.memory[int(len(self.memory) * YOUTH):]

    @property
    def slope(self) -> float:
        """Bytes for each task, without its youth."""
        tasks, size = zip(*self.old, strict=True)
        return statistics.linear_regression(tasks, size).slope

    @property
    def fds_grow(self) -> int:
        """Descriptors more at the end than after its youth."""
        return self.fds[-1] - self.fds[int(len(self.fds) * YOUTH)]

    @property
    def threads_grow(self) -> int:
        return self.threads[-1] - self.threads[int(len(self.threads) * YOUTH)]


def row(name: str, life: Life) -> str:
    old = life.old
    return (f'| {name} | {old[0][1] / 2**20:.1f} | {old[-1][1] / 2**20:.1f} | {life.slope:.2f} | '
            f'{life.pss / 2**20:.1f} | {min(life.fds)} to {max(life.fds)} | '
            f'{min(life.threads)} to {max(life.threads)} |')


HEAD = ('| process | after a tenth, MiB | at the end | bytes a task | PSS at the end, MiB | descriptors | threads |\n'
        '|---|---|---|---|---|---|---|')


class Tasks:
    """Runs of a module that ansible-core built, each by a client of its own, as workers are."""

    def __init__(self, engine: Engine, context: int, made: Any, files: Any, isolation: str) -> None:
        self._engine, self._made, self._isolation, self._context = engine, made, isolation, context
        engine.define(files, payload=made.key)
        self.seconds: list[float] = []
        self.lives: dict[str, Life] = {}

    def run(self, count: int) -> None:
        from remote import arguments_of
        made = self._made
        args = arguments_of(made, self._context, self._isolation)
        path = str(next(self._engine.folder.glob('*.sock')))
        for number in range(count):
            started = time.perf_counter()
            client = Client(path)
            head, out = client.call(MUX, 'modules', 'run', args, made.params.encode(), timeout=SECONDS)
            client.close()
            self.seconds.append(time.perf_counter() - started)
            assert head['rc'] == 0, out
            if number % max(1, count // LOOKS) == 0 or number == count - 1:
                self.look(number)

    def look(self, done: int) -> None:
        if not self.lives:
            broker = self._engine.pid_of(self._context)
            self.lives = {'client': Life(os.getpid()), 'multiplexer': Life(self._engine.mux_pid),
                          'broker': Life(broker)}
            below = [each for each in leaks.processes() if each.ppid == broker]
            self.lives |= {f'runner {number}': Life(each.pid) for number, each in enumerate(below, 1)}
        for life in self.lives.values():
            life.look(done)


def ids(engine: Engine) -> set[int]:
    return {each['id'] for each in engine.status()['contexts']}


def connects(engine: Engine, python: str, count: int) -> dict[str, Life]:
    """Logins that end in order, and some that are killed; the multiplexer's life."""
    lives = {'multiplexer': Life(engine.mux_pid), 'client': Life(os.getpid())}
    for number in range(count):
        (context,), _ = engine.get(login('host', boot_argv(python)))
        assert engine.execute(context, ['true']).rc == 0
        if number % KILLED:
            assert engine.client.call(MUX, 'contexts', 'reset', {'keys': ['host']}, timeout=SECONDS)[0] is True
        else:
            os.kill(engine.pid_of(context), signal.SIGKILL)
            leaks.wait_until(lambda gone=context: gone not in ids(engine), 'its end')
        if number % max(1, count // LOOKS) == 0 or number == count - 1:
            for life in lives.values():
                life.look(number)
    return lives


TASK = """    - {name: 'task %d', command: echo %d}
"""


def plays(count: int, folder: pathlib.Path, way: str) -> tuple[dict[str, Life], int]:
    """A play of so many tasks over ssh; the lives of the multiplexer, the broker and its runner, and results."""
    from tests.integration.support.control import Control, Core
    from tests.integration.support.hosts import Hosts
    hosts = Hosts(pathlib.Path(os.environ['MITOSIS_HOSTS']))
    core = max(Core.all(), key=lambda core: core.number)
    name = next(iter(hosts.addresses))
    control = Control(core, way, hosts, folder)
    control.watch_only(name)
    path = folder / 'play.yml'
    path.write_text(f'- hosts: {name}\n  gather_facts: false\n  tasks:\n'
                    + ''.join(TASK % (number, number) for number in range(count)))
    run = control.start('ansible-playbook', path)
    lives: dict[str, Life] = {}
    seen = -1
    while run.process.poll() is None:
        done = control.recorded().count('\n')
        if done >= 5 and not lives:
            lives = {'multiplexer': Life(control.pids('controller.supervisor')[0]),
                     'ansible-playbook': Life(run.process.pid)}
            below = [each for each in leaks.processes() if 'binascii' in each.command and each.pid in leaks.descendants(
                hosts.init(name) if hosts.own else 1)] if hosts.own else []
            lives |= {f'target {number}': Life(each.pid) for number, each in enumerate(below[:2], 1)}
        if lives and done >= seen + max(1, count // LOOKS):
            seen = done
            for life in lives.values():
                try:
                    life.look(done)
                except FileNotFoundError:
                    pass
        time.sleep(0.02)
    done = run.wait(SECONDS)
    right = [record['result'].get('stdout') for record in done.records if record['event'] == 'ok']
    assert done.code == 0 and right == [str(number) for number in range(count)], str(done)[-2000:]
    assert control.leftovers() == []
    return lives, len(right)


def beside_a_fresh_one(old: Tasks, python: str, isolation: str, made: Any, files: Any) -> str:
    """Old and new in turns: a machine's other load is the same for both."""
    took: dict[str, list[float]] = {'old': [], 'fresh': []}
    with tempfile.TemporaryDirectory(prefix='lives-') as folder:
        engine = Engine(pathlib.Path(folder), f'fresh-{os.getpid()}')
        try:
            fresh = Tasks(engine, engine.local(python), made, files, isolation)
            fresh.run(BATCH)
            for _ in range(TURNS):
                for name, tasks in (('old', old), ('fresh', fresh)):
                    tasks.run(BATCH)
                    took[name] += tasks.seconds[-BATCH:]
        finally:
            engine.stop()
    one, two = (1000 * statistics.median(took[name]) for name in ('old', 'fresh'))
    return f'then in turns with a fresh one: {one:.2f} and {two:.2f} ms ({100 * (one / two - 1):+.0f} %)'


def latency(seconds: list[float]) -> str:
    part = min(1000, len(seconds) // 3)
    first, last = (1000 * statistics.median(some) for some in (seconds[:part], seconds[-part:]))
    return f'median of the first {part}: {first:.2f} ms, of the last: {last:.2f} ms ({100 * (last / first - 1):+.0f} %)'


def main() -> int:
    parser = argparse.ArgumentParser(prog='./dev lives', description=__doc__)
    parser.add_argument('--tasks', type=int, default=100_000)
    parser.add_argument('--module', default='stat', help='stat; short, which has next to nothing to do (stat)')
    parser.add_argument('--connects', type=int, default=1000)
    parser.add_argument('--plays', type=int, default=500, help='tasks of a real playbook, by each way')
    parser.add_argument('--python', default='/usr/bin/python3', help='of the target')
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from remote import payload
    own = pathlib.Path(__file__).parent / f'library/{arguments.module}.py'
    ansiballz, made = payload(arguments.python, arguments.module, {'path': '/etc/hostname'},
                              str(own) if own.exists() else '')
    files = collection.load('plugins.plugin_utils._modules').Closure(ansiballz.unzip(made.zip_data))
    with tempfile.TemporaryDirectory(prefix='lives-') as folder:
        engine = Engine(pathlib.Path(folder), f'lives-{os.getpid()}')
        try:
            for isolation, count in (('inline', arguments.tasks), ('fork', arguments.tasks // 20)):
                tasks = Tasks(engine, engine.local(arguments.python), made, files, isolation)
                started = time.monotonic()
                with contextlib.suppress(KeyboardInterrupt):
                    tasks.run(count)
                print(f'\n{len(tasks.seconds)} tasks (`{arguments.module}`, {isolation}), '
                      f'{time.monotonic() - started:.0f} s; {latency(tasks.seconds)}\n\n{HEAD}')
                for name, life in tasks.lives.items():
                    print(row(name, life), flush=True)
                print('\n' + beside_a_fresh_one(tasks, arguments.python, isolation, made, files), flush=True)
            if arguments.connects:
                lives = connects(engine, arguments.python, arguments.connects)
                print(f'\n{arguments.connects} connects, one of {KILLED} ended by SIGKILL\n\n{HEAD}')
                for name, life in lives.items():
                    print(row(name, life), flush=True)
        finally:
            engine.stop()
        for way in ('strategy', 'connection') if arguments.plays else ():
            (pathlib.Path(folder) / way).mkdir()
            lives, count = plays(arguments.plays, pathlib.Path(folder) / way, way)
            print(f'\nA play of {count} tasks over ssh, by {way}\n\n{HEAD}')
            for name, life in lives.items():
                print(row(name, life), flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
