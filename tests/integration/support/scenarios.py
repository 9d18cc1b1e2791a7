"""Scenarios: programs of ansible-core run one after another, stock and ours, on hosts that are brought up once for each
ansible-core and way."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import difflib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable

from .compare import aligned, by_host, normal
from .control import HERE, WAYS, Control, Core, Finished
from .hosts import Hosts
from .suites import material

KEYWORDS = HERE / 'keywords'
# What scenarios may write to on the hosts: it is empty at the start of each.
WORK = 'tmp/work'

# Printed text: what compare.TEXTS leaves, as printed.
PRINTED = [
    (r'\r', ''),
    (r'^mitosis: \d+ of \d+ task runs? accelerated.*$\n?', ''),
    (r'\d:\d\d:\d\d\.\d{6}', 'DELTA'),
    (r'(?<=NETWORK\.)254 \d+', '254 PORT'),
    (r'"(%s)": [\d.]+' % '|'.join(('atime', 'mtime', 'ctime', 'inode', 'dev', 'elapsed', 'pid', 'child_pid', 'attempts_left')), r'"\1": N'),
    (r'\b\d{10}\.\d+\b', 'SECONDS'),
    (r'\*{3,}', '***'),
    (r'(?<=\w)\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~', '.backup~'),
    (r'\\r\\nShared connection to \S+ closed\.\\r\\n|Shared connection to \S+ closed\.(\\r)?(\\n)?\n?', ''),
    (r'"stderr_lines": \[\s*""\s*\]', '"stderr_lines": []'),
    # How an unreachable host is put.
    (r'(Data could not be sent to remote host|Failed to connect to the host via ssh:)[^\n]*', 'UNREACHABLE WORDS'),
    (r'(\[ERROR\]: Task failed: UNREACHABLE WORDS\n)(?:\nTask failed\.\n)?(Origin:[^\n]*\n\n(?:[^\n]+\n)+\n)'
     r'(?:<<< caused by >>>\n\nUNREACHABLE WORDS\n\n)?', r'\1\2'),
    # A traceback as a text in a result, and as it is printed.
    (r'Traceback \(most recent call last\):\\n(?:[^"\\]|\\.)*', 'TRACEBACK'),
    (r'Traceback \(most recent call last\):\n(?:  [^\n]*\n)*', 'TRACEBACK\n'),
]


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One program.  In words and in stdin, {keywords} is the folder of scenarios, {local} one to write to, {work} that of the hosts."""

    words: str
    stdin: str = ''
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    program: str = 'ansible-playbook'
    inventory: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Scenario:
    """Programs, one after another, and which differences of theirs are no defects: patterns of what `differences` says."""

    name: str
    steps: tuple[Step, ...]
    allowed: tuple[str, ...] = ()
    ways: tuple[str, ...] = WAYS

    def __str__(self) -> str:
        return self.name


@dataclasses.dataclass
class Outcome:
    """What the programs of a scenario did, and the texts in it that are of one run alone."""

    finished: list[Finished]
    own: list[tuple[str, str]]


class Stage:
    """The hosts of one ansible-core and way, and the scenarios that are run there, in turn."""

    def __init__(self, core: Core, way: str, folder: pathlib.Path) -> None:
        self.core, self.way, self.folder = core, way, folder
        self.wanted: dict[Scenario, concurrent.futures.Future[Outcome]] = {}
        self.leftovers: concurrent.futures.Future[list[str]] = concurrent.futures.Future()

    def want(self, scenario: Scenario | None) -> None:
        if scenario:
            self.wanted.setdefault(scenario, concurrent.futures.Future())

    def run(self) -> None:
        """Run all that is wanted; what goes wrong is told to those who wait for it."""
        futures = [*self.wanted.values(), self.leftovers]
        try:
            hosts = Hosts.up(2, self.folder / 'hosts')
            try:
                self._run_all(hosts)
            finally:
                hosts.down()
        except BaseException as e:
            for future in futures:
                if not future.done():
                    future.set_exception(e)
            raise

    def _run_all(self, hosts: Hosts) -> None:
        control = Control(self.core, self.way, hosts, self.folder / 'control')
        network = hosts.addresses['t1'].rpartition('.')[0]
        control.add_inventory('more.ini', '[targets]\n[out]\n'
                              f'unreachable ansible_host={network}.250 ansible_ssh_timeout=2\n')
        own = [(str(self.folder), 'FOLDER'), (str(self.core.venv), 'VENV'), (str(HERE), 'HERE'), (network, 'NETWORK')]
        for scenario, future in self.wanted.items():
            local = self.folder / 'work'
            for folder in (local, *(hosts.root(name) / WORK for name in hosts.addresses)):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                folder.chmod(0o1777)
            material(local)
            future.set_result(Outcome([self._step(control, step, local) for step in scenario.steps], own))
        for name in hosts.addresses:
            shutil.rmtree(hosts.root(name) / WORK)
        self.leftovers.set_result([re.sub(r'payload_\w{8}', 'payload', line) for line in normal(control.leftovers(), own)])

    def _step(self, control: Control, step: Step, local: pathlib.Path) -> Finished:
        places = {'local': str(local), 'keywords': str(KEYWORDS), 'work': f'/{WORK}'}
        words = [word.format(**places) for word in step.words.split('\n' if '\n' in step.words else None)]
        if step.program == 'ansible-playbook':
            prefix = 'mitosis.express.' if self.way == 'strategy' else ''
            strategies = {f'{name}_strategy': prefix + name for name in ('linear', 'free', 'host_pinned')}
            words += ['-e', json.dumps({'local': str(local), 'work': f'/{WORK}', **strategies})]
        environ = {key: value.format(**places) for key, value in step.env.items()}
        stdin = self.folder / 'stdin'
        stdin.write_text(step.stdin.format(**places))
        with stdin.open() as file:
            run = control.start(step.program, *words, env=environ, inventory=step.inventory, stdin=file)
            return run.wait(300)


def printed(text: str, own: list[tuple[str, str]]) -> list[str]:
    """The lines of what was printed, without what differs between any two runs, and without lines being wrapped."""
    text = normal(text, own)
    for pattern, word in PRINTED:
        text = re.sub(pattern, word, text, flags=re.M)
    return text.split('\n')


def unwrapped(lines: Iterable[str]) -> list[str]:
    """Warnings are wrapped after some column: paths of other lengths, other lines."""
    text = re.sub(r'\s+', ' ', re.sub(r'-\s+', '-', '\n'.join(lines)))
    return re.split(r' (?=\[(?:WARNING|ERROR|DEPRECATION WARNING)\])', text)


def line_differences(left: list[str], right: list[str]) -> list[str]:
    """Where two texts differ: 'line | line'."""
    found = []
    for kind, a, b, c, d in difflib.SequenceMatcher(a=left, b=right, autojunk=False).get_opcodes():
        if kind != 'equal':
            count = max(b - a, d - c)
            pairs = zip((left[a:b] + [''] * count)[:count], (right[c:d] + [''] * count)[:count], strict=True)
            found += [f'{one} | {two}' for one, two in pairs]
    return found


def differences(stock: Outcome, ours: Outcome) -> list[str]:
    """Where the outcomes of a scenario differ."""
    found = []
    for number, (one, two) in enumerate(zip(stock.finished, ours.finished, strict=True)):
        if one.code != two.code:
            found.append(f'{number}: code: {one.code} | {two.code}')
        left, right = by_host(one.records, stock.own), by_host(two.records, ours.own)
        found += [f'{number}: {host}: {line}' for host in sorted({*left, *right})
                  for line in aligned(left.get(host, []), right.get(host, []))]
        for name, shape in (('out', list), ('err', unwrapped)):
            texts = [shape(printed(getattr(finished, name), outcome.own))
                     for finished, outcome in ((one, stock), (two, ours))]
            found += [f'{number}: {name}: {line}' for line in line_differences(*texts)]
    return found


class Stages:
    """All stages of a test session, each of which runs in a thread as soon as somebody asks for one."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        # They wait more than they work.
        self._pool = concurrent.futures.ThreadPoolExecutor(3 * (os.cpu_count() or 1))
        self._stages: dict[tuple[Core, str], Stage] = {}

    def want(self, core: Core, way: str, scenario: Scenario | None) -> None:
        """Before `start`: this will be asked for, or only what is left at the end."""
        # Names of one length: they show in messages, which are cut to lines.
        stage = self._stages.setdefault((core, way), Stage(core, way, self._folder / f'{core}-{way[:5]}'))
        stage.want(scenario)

    def start(self) -> None:
        for stage in self._stages.values():
            self._pool.submit(stage.run)

    def stage(self, core: Core, way: str) -> Stage:
        return self._stages[core, way]

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)
