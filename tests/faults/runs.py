"""Runs of play.yml in which something goes wrong, and what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.integration.support.control import MARKER, Control, Core
from tests.integration.support.hosts import Hosts, wait_for
from tests.support import leaks

from . import injections
from .injections import Filled, Injection
from .known import Known, write_files
from .links import Way

# On either side of the network: whose run it is, and on a host the host's name too.
MARK = 'LC_MITOSIS_FAULTS'
FIRST_STAGE = 'binascii'
# The deadline: from the last fault of a run to its end.  Its parts: a link is given up, a login is given up, and the
# rest of the run on a busy machine.
DEADLINE = injections.TIMEOUT + injections.BOOT + 28
# A client asks a multiplexer that says nothing whether it lives, and then waits as long again.
DEAF = 60
# And until all processes are gone.
GONE = 20
# The size of file systems that are filled.
SIZE, INODES = '12m', 600
FILLED = ('tmp', 'var/tmp', 'dev/shm', 'home/m_nopw')


@dataclass
class Seen:
    """A process, as /proc tells."""

    pid: int
    ppid: int
    command: str
    here: bool
    host: str


class Scene:
    """A controller, hosts, and the lines between them."""

    def __init__(self, core: Core, way: str, hosts: Hosts, folder: pathlib.Path) -> None:
        self.hosts, self.folder, self.way = hosts, folder, way
        self.control = Control(core, way, hosts, folder)
        self.names = list(hosts.addresses)
        self.lines = {}
        for name, address in hosts.addresses.items():
            self.lines[name] = Way((address, int(hosts.variables['ansible_port'])))
        self.account = 'm_target' if hosts.own else ''
        self.files, self.fetched = folder / 'files', folder / 'fetched'
        self.fetched.mkdir()
        write_files(self.files)
        self.known = Known(self.account or hosts.variables['ansible_user'], self.fetched)
        # Of hosts that are this machine, what is theirs is below one folder.
        self.place = '/tmp/mitosis-faults' if hosts.own else f'{folder}/hosts'
        self.mark = self.control.marker
        # Bytes on the link of each host, by direction, in the last run.
        self.passed: dict[str, dict[bool, int]] = {}
        self.here = Filled([folder / name for name in ('local', 'tmp', 'fetched')])
        self.there = {name: Filled([hosts.root(name) / each for each in FILLED] if hosts.own else [])
                      for name in self.names}

    @contextlib.contextmanager
    def ready(self) -> Iterator[Scene]:
        with contextlib.ExitStack() as stack:
            for line in self.lines.values():
                stack.enter_context(line.running())
            self._write_inventory()
            self.others = {each.pid for each in self._logins()}
            if self.hosts.own:
                for name in ('local', 'tmp', 'fetched'):
                    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size=24m,nr_inodes={INODES}', 'tmpfs',
                                    self.folder / name], check=True)
                    stack.callback(subprocess.run, ['umount', '-l', self.folder / name], check=False)
            yield self

    def _write_inventory(self) -> None:
        lines = ['[targets]']
        for name, address in self.hosts.addresses.items():
            port = self.hosts.variables['ansible_port']
            alias = address if port == '22' else f'[{address}]:{port}'
            arguments = (f'{self.hosts.variables["ansible_ssh_common_args"]} -o HostKeyAlias={alias} '
                         f'-o SetEnv={MARK}={self.mark}-{name}')
            lines.append(f'{name} ansible_host=127.0.0.1 ansible_port={self.lines[name].port} '
                         f"ansible_ssh_common_args='{arguments}'")
        lines += ['[targets:vars]', f'faults_folder={self.place}', f'faults_files={self.files}',
                  f'faults_become={self.account}', f'faults_fetched={self.fetched}',
                  f'mitosis_alive_interval={injections.INTERVAL}', f'mitosis_alive_timeout={injections.TIMEOUT}',
                  f'mitosis_boot_timeout={injections.BOOT}']
        if self.hosts.own:
            lines.append('ansible_user=m_nopw')
        else:
            lines += [f'ansible_remote_tmp={self.place}/tmp', f'ansible_async_dir={self.place}/async']
        self.control.add_inventory('faults.ini', '\n'.join(lines) + '\n')

    # processes

    def seen(self) -> list[Seen]:
        """Processes of this scene's runs, on both sides."""
        found = []
        here = f'{MARKER}={self.mark}'.encode()
        there = f'{MARK}={self.mark}-'.encode()
        for each in leaks.processes():
            if each.state == 'Z':
                continue
            try:
                environ = pathlib.Path(f'/proc/{each.pid}/environ').read_bytes().split(b'\0')
            except OSError:
                continue
            host = next((word[len(there):].decode() for word in environ if word.startswith(there)), '')
            if host or here in environ:
                with contextlib.suppress(OSError):
                    command = pathlib.Path(f'/proc/{each.pid}/cmdline').read_bytes().replace(b'\0', b' ').decode()
                    found.append(Seen(each.pid, each.ppid, command, not host, host))
        return found

    def victims(self, injection: Injection, main: int) -> list[int]:
        """The processes that an injection is for; one of those that are alike."""
        seen = self.seen()
        parents = {each.pid: each for each in seen}
        ours = [each for each in seen if each.host == injection.host and FIRST_STAGE in each.command
                and 'python' in each.command.split(' ', 1)[0]]
        brokers = [each for each in ours if each.ppid not in {other.pid for other in ours}]

        def level(process: Seen) -> int:
            depth = 0
            while process.ppid in parents and parents[process.ppid] in ours:
                process, depth = parents[process.ppid], depth + 1
            return depth

        def is_of_another(process: Seen) -> bool:
            return os.stat(f'/proc/{process.pid}').st_uid != os.stat(f'/proc/{process.ppid}').st_uid or any(
                'sudo' in parents[pid].command for pid in (process.ppid,) if pid in parents)
        with contextlib.suppress(FileNotFoundError):
            found = {
                'everything': lambda: [each.pid for each in seen],
                'ansible-playbook': lambda: [main],
                'a worker': lambda: [each.pid for each in seen if each.here and each.ppid == main
                                     and 'ansible-playbook' in each.command],
                'the multiplexer': lambda: [each.pid for each in seen if each.here
                                            and 'controller.supervisor' in each.command],
                'the ssh client': lambda: [each.pid for each in seen if each.here and each.command.startswith('ssh ')
                                           and f'{MARK}={self.mark}-{injection.host} ' in each.command],
                "sshd's process": lambda: [leaks.process(each.pid).ppid for each in seen if each.host == injection.host
                                           and leaks.process(each.pid) and self._is_sshd(leaks.process(each.pid).ppid)],
                'the broker': lambda: [each.pid for each in brokers if not is_of_another(each)],
                'a broker of another account': lambda: [each.pid for each in brokers if is_of_another(each)],
                'a runner': lambda: [each.pid for each in ours if level(each) == 1],
                'an executor': lambda: [each.pid for each in ours if level(each) == 2],
            }[injection.victim]()
            return found if injection.victim == 'everything' else sorted(found)[:1]
        return []

    @staticmethod
    def _is_sshd(pid: int) -> bool:
        found = leaks.process(pid)
        return found is not None and found.command.startswith('sshd')

    # what is left

    def clean(self) -> list[str]:
        """What is left of a run, which is removed then."""
        for each in (self.here, *self.there.values()):
            each.empty()
        if self.way == 'stock':
            self.control.end_stock_masters()
        wait_for(lambda: not self.seen(), GONE)
        left = [f'process {each.pid} of {each.host or "the controller"}: {each.command:.200}' for each in self.seen()]
        for each in self.seen():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)
        for line in self.lines.values():
            line.end()
        wait_for(lambda: not any(line.open for line in self.lines.values()) and not self.sessions(), GONE)
        left += [f'connection of {name}' for name, line in self.lines.items() if line.open]
        left += [f'session: {each}' for each in self.sessions()]
        for name in ('local', 'tmp'):
            left += [f'file here {path.relative_to(self.folder)}' for path in (self.folder / name).rglob('*')]
            for path in (self.folder / name).iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self.fetched.iterdir():  # else the next run finds it there
            path.unlink()
        return left + self._clean_hosts()

    def _clean_hosts(self) -> list[str]:
        left = []
        if not self.hosts.own:
            left = [f'file {path}' for path in (pathlib.Path(self.place) / 'tmp').glob('*')]
            shutil.rmtree(self.place, ignore_errors=True)
            return left
        for name in self.names:
            root = self.hosts.root(name)
            shutil.rmtree(root / self.place.lstrip('/'), ignore_errors=True)
            for path in self.hosts.files(name):
                left.append(f'file on {name}: /{path}')
                (root / path).unlink() if (root / path).is_file() else shutil.rmtree(root / path, ignore_errors=True)
        return left

    def sessions(self) -> list[str]:
        """sshd's processes of logins, but for those that were there before: of stock's masters, in runs of others."""
        return [str(each) for each in self._logins() if each.pid not in self.others]

    def _logins(self) -> list[leaks.Process]:
        if self.hosts.own:
            inits = {self.hosts.init(name) for name in self.names}
            return [each for each in leaks.processes() if each.ppid in inits and each.command.startswith('sshd')
                    and each.state != 'Z']
        listener = int((self.hosts.folder / 'loopback.pid').read_text().split()[0])
        return [each for each in leaks.processes() if each.ppid == listener and each.state != 'Z']


class Watched:
    """A run under way: strikes when the moment has come."""

    def __init__(self, scene: Scene, playbook: Any, chosen: list[Injection]) -> None:
        self.scene, self.playbook, self.chosen = scene, playbook, chosen
        self.started = time.monotonic()
        self._due: dict[int, float] = {}
        self._read, self._rest = 0, b''
        self.records: list[tuple[float, dict[str, Any]]] = []

    def watch(self) -> bool:
        """To the run's end; True where it did not end in time."""
        process = self.playbook.process
        while process.poll() is None:
            now = time.monotonic()
            self.take_records()
            for injection in self.chosen:
                self._step(injection, now)
            last = max([each.at for each in self.chosen] + [self.started])
            allowed = DEADLINE + sum(each.seconds for each in self.chosen)
            if any((each.kind, each.victim) == ('stop', 'the multiplexer') for each in self.chosen):
                allowed += DEAF
            if now > last + allowed + (0 if all(each.at for each in self.chosen) else 60):
                self.end()
                return True
            time.sleep(0.005)
        self.take_records()
        for injection in self.chosen:
            injection.at = injection.cut.at if injection.cut else injection.at
        self.end()
        return False

    def _step(self, injection: Injection, now: float) -> None:
        if injection.cut:
            injection.at = injection.cut.at
            return
        if injection.at:
            if injection.until and now >= injection.until:
                injections.go_on(injection)
                injection.until = 0
            return
        events = sum(1 for _, record in self.records if injection.is_for_all or record['host'] == injection.host)
        wanted = injection.after * (len(self.scene.names[:2]) if injection.is_for_all else 1)
        if events < wanted:
            return
        due = self._due.setdefault(id(injection), (now if wanted else self.started) + injection.delay)
        if now >= due and self._strike(injection):
            injection.at = time.monotonic()
            if injection.kind in ('pause', 'suspend'):
                injection.until = injection.at + injection.seconds

    def _strike(self, injection: Injection) -> bool:
        if injection.kind in injections.FILLS:
            place = self.scene.there[injection.host] if injection.host else self.scene.here
            place.fill(injection.kind)
            return True
        return injections.strike(injection, self.scene.victims(injection, self.playbook.process.pid))

    def end(self) -> None:
        """Who is still stopped goes on: it has to see for itself that all is over."""
        for injection in self.chosen:
            if injection.kind in ('pause', 'suspend', 'stop'):
                injections.go_on(injection)

    def take_records(self) -> None:
        path = self.scene.folder / 'record.jsonl'
        if not path.exists() or path.stat().st_size == self._read:
            return
        with path.open('rb') as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        *lines, self._rest = (self._rest + data).split(b'\n')
        now = time.monotonic()
        for line in lines:
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                if record['event'] != 'stats':
                    self.records.append((now, record))
