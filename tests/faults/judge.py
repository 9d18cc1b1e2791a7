"""What is to be said of a run in which something went wrong."""

from __future__ import annotations

import pathlib
import re
import time
from dataclasses import dataclass, field

from tests.integration.support.control import Finished

from . import injections
from .injections import Injection
from .known import EVENTS
from .runs import Scene, Watched

HERE = pathlib.Path(__file__).resolve().parent
# What ansible-playbook can't remove once it is killed.
OWN = re.compile(r'(ansible-local-[^/]+(/ansiballz_cache.*|/mitosis(\.count)?|/tmp[^/]*.*)?|pymp-[^/]+(/listener.*)?)$')

# The file of a traceback's last line, which raised it.
RAISED = re.compile(r'  File "([^"]+)", line \d+.*\n(?:    .*\n)*(?=\S)')


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


def run(scene: Scene, chosen: list[Injection]) -> list[Outcome]:
    """A run with these injections, at most one for each host, and the next run without; with what was found."""
    hosts = sorted({each.host for each in chosen if each.host}) or scene.names[:2]
    for name, line in scene.lines.items():
        line.begin(next((each.cut for each in chosen if each.host == name and each.cut), None))
    environ = {'ANSIBLE_TIMEOUT': str(injections.CONNECT), 'ANSIBLE_FORKS': '12', 'ANSIBLE_SSH_RETRIES': '0'}
    if len(chosen) > 1:  # or each would wait for all that is slow on others
        environ['ANSIBLE_STRATEGY'] = 'mitosis.express.free' if scene.way == 'strategy' else 'free'
    playbook = scene.control.start('ansible-playbook', HERE / 'play.yml', '--limit', ','.join(hosts), env=environ)
    watched = Watched(scene, playbook, chosen)
    late = watched.watch()
    done = playbook.wait(0 if late else 60)
    scene.passed = {name: dict(scene.lines[name].bytes) for name in hosts}
    return Judge(scene, chosen, hosts, watched, done, late).outcomes()


class Judge:
    """What is to be said of a run."""

    def __init__(self, scene: Scene, chosen: list[Injection], hosts: list[str], run: Watched, done: Finished,
                 late: bool) -> None:
        self.scene, self.chosen, self.hosts, self.run, self.done, self.late = scene, chosen, hosts, run, done, late
        self.ended_at = time.monotonic()
        self.records = [record for _, record in run.records]

    def outcomes(self) -> list[Outcome]:
        # What was fetched is looked at before the next run fetches it again.
        lies = self.scene.known.lies(self.records)
        found = [Outcome(each, *self._end(each)) for each in self.chosen]
        everywhere = [f'reported as ok: {lie}' for lie in lies]
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
        left = [each for each in left if not any('/ansible-tmp-' in each and each.startswith(
            f'file on {host}: ' if self.scene.hosts.own else 'file /') for host in of_jobs)]
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
        ours = [(at, record) for at, record in self.run.records
                if injection.is_for_all or record['host'] == injection.host]
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
