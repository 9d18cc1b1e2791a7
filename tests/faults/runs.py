"""Runs of play.yml in which something goes wrong, and what is looked at afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.integration.support.control import MARKER, Control, Core, Finished
from tests.integration.support.hosts import Hosts, wait_for
from tests.support import leaks

from . import injections
from .injections import Filled, Injection
from .known import EVENTS, Known, write_files
from .links import Way

HERE = pathlib.Path(__file__).resolve().parent
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
# What ansible-playbook can't remove once it is killed.
OWN = re.compile(r'(ansible-local-[^/]+(/ansiballz_cache.*|/mitosis(\.count)?|/tmp[^/]*.*)?|pymp-[^/]+(/listener.*)?)$')

# The file of a traceback's last line, which raised it.
RAISED = re.compile(r'  File "([^"]+)", line \d+.*\n(?:    .*\n)*(?=\S)')


@dataclass
class Seen:
    """A process, as /proc tells."""

    pid: int
    ppid: int
    command: str
    here: bool
    host: str


@dataclass
class Outcome:
    injection: Injection
    ended: str
    seconds: float
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        injection = self.injection
        what = f'{injection.kind} {injection.victim}' + (f' of {injection.host}' if injection.host else '')
        if injection.kind in ('pause', 'delay'):
            what += f' for {injection.seconds:.1f} s'
        return (f'{injection.seed} {injection.way}: {what}, {injection.moment}: {self.ended}, {self.seconds:.1f} s'
                + ''.join(f'\n  FINDING {" ".join(each.split())[:400]}' for each in self.findings))


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

    # one run

    def run(self, chosen: list[Injection]) -> list[Outcome]:
        """A run with these injections, at most one for each host, and the next run without; with what was found."""
        hosts = sorted({each.host for each in chosen if each.host}) or self.names[:2]
        for name, line in self.lines.items():
            line.begin(next((each.cut for each in chosen if each.host == name and each.cut), None))
        environ = {'ANSIBLE_TIMEOUT': str(injections.CONNECT), 'ANSIBLE_FORKS': '12', 'ANSIBLE_SSH_RETRIES': '0'}
        if len(chosen) > 1:  # or each would wait for all that is slow on others
            environ['ANSIBLE_STRATEGY'] = 'mitosis.express.free' if self.way == 'strategy' else 'free'
        playbook = self.control.start('ansible-playbook', HERE / 'play.yml', '--limit', ','.join(hosts), env=environ)
        run = Watched(self, playbook, chosen)
        late = run.watch()
        done = playbook.wait(0 if late else 60)
        self.passed = {name: dict(self.lines[name].bytes) for name in hosts}
        found = Judge(self, chosen, hosts, run, done, late).outcomes()
        return found

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
        """sshd's processes of logins."""
        if self.hosts.own:
            inits = {self.hosts.init(name) for name in self.names}
            return [str(each) for each in leaks.processes() if each.ppid in inits and each.command.startswith('sshd')
                    and each.state != 'Z']
        listener = int((self.hosts.folder / 'loopback.pid').read_text().split()[0])
        return [str(each) for each in leaks.processes() if each.ppid == listener and each.state != 'Z']


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


class Judge:
    """What is to be said of a run."""

    def __init__(self, scene: Scene, chosen: list[Injection], hosts: list[str], run: Watched, done: Finished,
                 late: bool) -> None:
        self.scene, self.chosen, self.hosts, self.run, self.done, self.late = scene, chosen, hosts, run, done, late
        self.ended_at = time.monotonic()
        self.records = [record for _, record in run.records]

    def outcomes(self) -> list[Outcome]:
        # What was fetched is looked at before the next run fetches it again.
        lies = [self.scene.known.wrong(record) for record in self.records]
        found = [Outcome(each, *self._end(each)) for each in self.chosen]
        everywhere = [f'reported as ok: {lie}' for lie in lies if lie]
        if self.late:
            everywhere.append('it did not end in time')
        main_killed = any(each.victim == 'ansible-playbook' and each.at for each in self.chosen)
        for host in self.hosts:
            missing = self.scene.known.missing(host, self.records)
            struck = [each for each in self.chosen if each.at and (each.is_for_all or each.host == host)]
            told = any(record['host'] == host and record['event'] in ('failed', 'unreachable')
                       for record in self.records)
            fatal = [each.at for each in struck if not each.is_survived]
            first = next((at for at, record in self.run.records if record['host'] == host
                          and record['event'] in ('failed', 'unreachable')), 0)
            if (missing and not fatal) or (first and first < min(fatal, default=0)):
                everywhere.append(f'{host} did not survive: {missing[0]}: {self._words(host)}')
            elif missing and self.done.code == 0:
                everywhere.append(f'exit code 0 without {missing} on {host}')
            elif missing and not told and not any(each.is_for_all for each in struck):
                everywhere.append(f'nothing was said of {missing[0]} on {host}')
        if any(re.search('mitogen_core|mitosis/express', path) for path in RAISED.findall(self.done.text)):
            everywhere.append('a traceback of ours: ' + self.done.text[-1500:])
        left = self.scene.clean()
        if main_killed:
            left = [each for each in left if not (each.startswith('file here') and OWN.search(each.split('/', 1)[1]))]
        # The temporary folder of an async task that did not begin: ansible-core itself leaves it to the task.
        of_jobs = [host for host in self.hosts if 'job' in self.scene.known.missing(host, self.records)]
        left = [each for each in left if not any(
            each.startswith(f'file on {host}: ') and '/ansible-tmp-' in each for host in of_jobs)]
        everywhere += [f'left: {each}' for each in left]
        for line in self.scene.lines.values():
            line.begin(None)
        next_run = self.scene.control.adhoc(':'.join(self.hosts), '-m', 'command', '-a', 'echo next', seconds=60)
        if next_run.code or next_run.out.count('next\n') != len(self.hosts):
            everywhere.append(f'the next run: {next_run}')
        everywhere += [f'left by the next run: {each}' for each in self.scene.clean()]
        for each in everywhere:
            self._blame(found, each)
        if everywhere:
            with (self.scene.folder / f'findings-{self.chosen[0].seed}').open('w') as file:
                file.write(f'{everywhere}\n{self.done}\n')
        return found

    def _blame(self, found: list[Outcome], text: str) -> None:
        """A finding goes to the injection on the host that it names, else to all."""
        named = [each for each in found if each.injection.host and re.search(rf'\b{each.injection.host}\b', text)]
        for each in named or found:
            each.findings.append(text)

    def _end(self, injection: Injection) -> tuple[str, float]:
        """(how it ended, seconds from the fault to the next word of the host, or to the failure that it led to)."""
        if not injection.at:
            return 'not struck', 0
        ours = [(at, record) for at, record in self.run.records if injection.is_for_all or record['host'] == injection.host]
        bad = [(at, record['event']) for at, record in ours if record['event'] in ('failed', 'unreachable')]
        if injection.is_survived and bad and any(
                each.at and each.at <= bad[-1][0] and not each.is_survived and each.host == injection.host
                for each in self.chosen):
            bad = []  # that is of the other one
        if bad:
            return bad[-1][1], max(0.0, bad[-1][0] - injection.at)
        seconds = next((at for at, _ in ours if at > injection.at), self.ended_at) - injection.at
        return ('ok' if self.done.code == 0 or injection.is_survived or (injection.host and len(ours) >= EVENTS)
                else f'run ended ({self.done.code})'), seconds

    def _words(self, host: str) -> str:
        return next((str(record['result'].get('msg')) for record in self.records
                     if record['host'] == host and record['event'] in ('failed', 'unreachable')), self.done.text[-300:])
