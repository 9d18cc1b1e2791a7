"""Runs ansible-core's programs, stock and with Mitosis, each in a folder of its own, and finds what a run left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import uuid
from typing import Any

from .hosts import Hosts, all_pids, command_line, wait_for

HERE = pathlib.Path(__file__).resolve().parents[1]
# stock: what is compared with.  The other two are the ways in.
WAYS = ('strategy', 'connection')
# Run everything with everything; by default what hardly depends on the version of ansible-core, or on the way, is spared.
ALL = bool(os.environ.get('MITOSIS_ALL'))
MARKER = 'MITOSIS_TEST_RUN'
# How long processes may take to go after the end of a run.
GONE_SECONDS = 20.0
DROPPED = re.compile(r'ANSIBLE_|MITOSIS_|SSH_|PYTHON|VIRTUAL_ENV$|LC_|LANG')


@dataclasses.dataclass(frozen=True)
class Core:
    """One ansible-core in a virtual environment."""

    venv: pathlib.Path
    version: str
    python: str

    @property
    def name(self) -> str:
        return f'ansible-core {self.version}, Python {self.python}'

    def __str__(self) -> str:
        return self.version

    @classmethod
    def all(cls) -> list[Core]:
        """Those that MITOSIS_VENVS names."""
        found = []
        for folder in os.environ.get('MITOSIS_VENVS', '').split(':'):
            for release in pathlib.Path(folder).glob('lib/python3.*/site-packages/ansible/release.py'):
                version = re.search(r"__version__ = '(\d+\.\d+)", release.read_text())
                if folder and version:
                    found.append(cls(pathlib.Path(folder), version[1], release.parents[2].name[len('python'):]))
        return found

    @property
    def number(self) -> tuple[int, int]:
        major, minor = self.version.split('.')
        return int(major), int(minor)


def pairs() -> list[tuple[Core, str]]:
    """Each ansible-core with the ways in that are tried with it: by default strategies with the newest, connections with
    the oldest, both where there is one alone.  The conformance targets and the matrix run both ways."""
    cores = sorted(Core.all(), key=lambda core: core.number, reverse=True)
    every = [(core, way) for core in cores for way in WAYS]
    return every if ALL or len(cores) < 2 else [(cores[0], WAYS[0]), (cores[-1], WAYS[1])]


@dataclasses.dataclass
class Finished:
    """A program that ended."""

    argv: list[str]
    code: int
    out: str
    err: str
    seconds: float
    records: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return self.out + self.err

    def __str__(self) -> str:
        return f'{" ".join(self.argv)}\nexit code {self.code} after {self.seconds:.1f} s\n{self.out}\n{self.err}'

    def results(self, host: str = 't1') -> list[dict[str, Any]]:
        """The results of a host's tasks."""
        return [record['result'] for record in self.records if record.get('host') == host]


class Run:
    """A program that was started."""

    def __init__(self, argv: list[str], environ: dict[str, str], folder: pathlib.Path, **more: Any) -> None:
        self.argv = argv
        self._record = folder / 'record.jsonl'
        self._record.unlink(missing_ok=True)
        self._out, self._err = (folder / 'stdout').open('w+'), (folder / 'stderr').open('w+')
        self._started = time.monotonic()
        self.process = subprocess.Popen(argv, stdout=self._out, stderr=self._err, env=environ, cwd=HERE,
                                        start_new_session=True, **{'stdin': subprocess.DEVNULL, **more})

    def wait(self, seconds: float) -> Finished:
        """Its end, which is forced after `seconds`."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            code = 999
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read())
            file.close()
        lines = self._record.read_text().splitlines() if self._record.exists() else []
        return Finished(self.argv, code, texts[0], texts[1], time.monotonic() - self._started,
                        [json.loads(line) for line in lines])


class Control:
    """A controller: one ansible-core, one way, one folder for all that it writes."""

    def __init__(self, core: Core, way: str, hosts: Hosts, folder: pathlib.Path) -> None:
        self.core, self.way, self.hosts, self.folder = core, way, hosts, folder
        self.marker = uuid.uuid4().hex
        for name in ('local', 'tmp', 'home', 'cp'):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / 'ansible.cfg').touch()
        self.inventories = [hosts.inventory]
        if way == 'connection':
            self.add_inventory('connection.ini', '[targets]\n[targets:vars]\nansible_connection=mitosis.express.ssh\n')
        self._hosts_before = {name: set(hosts.processes(name)) for name in hosts.addresses} if hosts.own else {}
        self._files_before = {name: hosts.files(name) for name in hosts.addresses} if hosts.own else {}

    def watch_only(self, *names: str) -> None:
        """Others are at work on the other hosts."""
        for group in (self._hosts_before, self._files_before):
            for name in set(group) - set(names):
                del group[name]

    def add_inventory(self, name: str, text: str) -> None:
        """One more inventory, which wins over those before it."""
        path = self.folder / name
        path.write_text(text)
        self.inventories.append(path)

    def environ(self, **more: str) -> dict[str, str]:
        folder = self.folder
        environ = {key: value for key, value in os.environ.items() if not DROPPED.match(key)}
        environ.update({
            'PATH': f'{self.core.venv}/bin:{environ["PATH"]}', 'LC_ALL': 'C.UTF-8', 'TMPDIR': f'{folder}/tmp',
            'ANSIBLE_CONFIG': f'{folder}/ansible.cfg', 'ANSIBLE_HOME': f'{folder}/home',
            'ANSIBLE_LOCAL_TEMP': f'{folder}/local', 'ANSIBLE_SSH_CONTROL_PATH_DIR': f'{folder}/cp',
            'ANSIBLE_NOCOLOR': '1', 'ANSIBLE_FORKS': '5', 'ANSIBLE_DEPRECATION_WARNINGS': 'false',
            'ANSIBLE_COLLECTIONS_PATH': os.environ['MITOSIS_COLLECTIONS'], 'ANSIBLE_HOST_KEY_CHECKING': 'true',
            'ANSIBLE_CALLBACK_PLUGINS': f'{HERE}/callback_plugins', 'ANSIBLE_CALLBACKS_ENABLED': 'record',
            'RECORD_FILE': f'{folder}/record.jsonl', 'ANSIBLE_LOAD_CALLBACK_PLUGINS': 'true', MARKER: self.marker})
        if self.way == 'stock':
            environ['ANSIBLE_PIPELINING'] = 'true'
        elif self.way == 'strategy':
            # Two hosts share a worker only if there is one.
            environ.update(ANSIBLE_STRATEGY='mitosis.express.linear', MITOSIS_SUMMARY='1', MITOSIS_WORKERS='1')
        environ.update(more)
        return environ

    def argv(self, program: str, *args: Any, inventory: bool = True) -> list[str]:
        inventories = [word for path in self.inventories if inventory for word in ('-i', str(path))]
        return [f'{self.core.venv}/bin/{program}', *inventories, *map(str, args)]

    def start(self, program: str, *args: Any, env: dict[str, str] | None = None, inventory: bool = True,
              **more: Any) -> Run:
        argv = self.argv(program, *args, inventory=inventory)
        return Run(argv, self.environ(**(env or {})), self.folder, **more)

    def recorded(self) -> str:
        """What callbacks were told so far."""
        path = self.folder / 'record.jsonl'
        return path.read_text() if path.exists() else ''

    def playbook(self, *args: Any, env: dict[str, str] | None = None, seconds: float = 150, **more: Any) -> Finished:
        return self.start('ansible-playbook', *args, env=env, **more).wait(seconds)

    def adhoc(self, *args: Any, env: dict[str, str] | None = None, seconds: float = 150, **more: Any) -> Finished:
        return self.start('ansible', *args, env=env, **more).wait(seconds)

    def tasks(self, text: str, *args: Any, hosts: str = 't1', **more: Any) -> Finished:
        """Run a play of these tasks (a YAML list), without facts."""
        path = self.folder / 'play.yml'
        indented = ''.join(f'    {line}\n' for line in text.strip('\n').split('\n'))
        path.write_text(f'- hosts: {hosts}\n  gather_facts: false\n  tasks:\n{indented}')
        return self.playbook(path, *args, **more)

    # what is there

    def processes(self) -> dict[int, str]:
        """Processes of this controller's runs, on this side of the network: pid -> command line."""
        mark = f'{MARKER}={self.marker}'.encode()
        found = {}
        for pid in all_pids():
            try:
                if mark in pathlib.Path(f'/proc/{pid}/environ').read_bytes().split(b'\0'):
                    found[pid] = command_line(pid)
            except OSError:
                continue
        return {pid: line for pid, line in found.items() if line}

    def pids(self, text: str) -> list[int]:
        """Processes of this controller's runs with `text` in their command lines."""
        return sorted(pid for pid, line in self.processes().items() if text in line)

    def remote_processes(self) -> dict[str, list[str]]:
        """What runs on the hosts that did not run before."""
        found = {}
        for name, before in self._hosts_before.items():
            lines = [line for pid, line in self.hosts.processes(name).items() if pid not in before]
            if lines:
                found[name] = lines
        return found

    def end_stock_masters(self) -> None:
        """End the ssh processes that stock tasks leave behind on purpose (ControlPersist)."""
        for pid in self.pids('[mux]'):
            os.kill(pid, signal.SIGTERM)

    def leftovers(self) -> list[str]:
        """What is left of all runs, on either side; processes get a few seconds to go."""
        self.end_stock_masters()
        wait_for(lambda: not self.processes() and not self.remote_processes(), GONE_SECONDS)
        found = [f'process {pid}: {line}' for pid, line in self.processes().items()]
        found += [f'process on {name}: {line}' for name, lines in self.remote_processes().items() for line in lines]
        for name in ('local', 'tmp'):
            found += [f'file {path}' for path in (self.folder / name).rglob('*')]
        for name, before in self._files_before.items():
            found += [f'file on {name}: /{path}' for path in self.hosts.files(name) - before]
        return found
