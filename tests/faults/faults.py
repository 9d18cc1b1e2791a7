"""Injects faults into runs of a playbook over real ssh: `./dev faults`.  See docs/faults.md."""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.faults import injections
from tests.faults.injections import KINDS, Injection
from tests.faults.judge import Outcome, run
from tests.faults.runs import INODES, SIZE, Scene
from tests.integration.support.control import WAYS, Core
from tests.integration.support.hosts import Hosts

# Injections for hosts that share a run.
TOGETHER = 12


def prepare(hosts: Hosts) -> None:
    """Their file systems get small enough to be filled."""
    if not hosts.own:
        return
    for name in hosts.addresses:
        hosts.exec(name, 'sh', '-c', f'for f in /tmp /var/tmp /dev/shm; do '
                   f'mount -o remount,size={SIZE},nr_inodes={INODES} $f; done; mountpoint -q /home/m_nopw || '
                   f'mount -t tmpfs -o size={SIZE},nr_inodes={INODES},mode=755,uid=$(id -u m_nopw) tmpfs /home/m_nopw')


class Faults:
    """Scenes by way."""

    def __init__(self, core: Core, hosts: Hosts, folder: pathlib.Path, ways: list[str]) -> None:
        self.hosts, self.ways = hosts, ways
        prepare(hosts)
        self.scenes = {}
        for way in ways:
            (folder / way).mkdir()
            self.scenes[way] = Scene(core, way, hosts, folder / way)

    @contextlib.contextmanager
    def ready(self) -> Iterator[Faults]:
        with contextlib.ExitStack() as stack:
            for scene in self.scenes.values():
                stack.enter_context(scene.ready())
            yield self

    def untroubled(self, way: str) -> Outcome:
        """A run without a fault, which has to be right too."""
        scene = self.scenes[way]
        scene.clean()  # of a driver that was killed
        return run(scene, [Injection(0, way, 'none', 'nobody', scene.names[0], sys.maxsize)])[0]

    def drawn(self, seed: int, kinds: list[str]) -> Iterator[Injection]:
        """Endlessly, by seeds that count up."""
        for number in itertools.count(seed):
            injection = injections.draw(number, self.hosts.own)
            if self.ways == ['stock']:  # to compare with: what of it is Ansible's own?
                injection.way = 'stock'
            if injection.way in self.ways and injection.kind in kinds \
                    and injections.is_possible(injection, self.hosts.own):
                yield injection

    def run(self, drawn: Iterator[Injection], count: int) -> Iterator[Outcome]:
        """So many injections that struck.  Those that are for a host share runs: each host of a run has one, and
        perhaps one more that it has to survive."""
        waiting: dict[str, list[Injection]] = {way: [] for way in self.ways}
        done = 0
        while done < count:
            injection = next(drawn, None)
            if injection is None:
                way = next((way for way, group in waiting.items() if group), None)
                if not way:
                    return
            else:
                way = injection.way
                if injection.host:
                    waiting[way].append(injection)
                    together = min(TOGETHER, len(self.hosts.addresses), count - done)
                    if len(waiting[way]) < count - done and sum(
                            not each.is_survived for each in waiting[way]) < together:
                        continue
            group = [injection]
            if injection is None or injection.host:
                group, waiting[way] = self._share_out(waiting[way])
            for outcome in run(self.scenes[way], group):
                done += outcome.injection.at > 0
                yield outcome

    def _share_out(self, waiting: list[Injection]) -> tuple[list[Injection], list[Injection]]:
        """(for the hosts of one run, what has to wait on)."""
        free = {survived: list(self.hosts.addresses)[:TOGETHER] for survived in (False, True)}
        found: list[Injection] = []
        rest = []
        for each in sorted(waiting, key=lambda each: each.is_survived):
            cut = {other.host for other in found if other.cut} if each.cut else set()
            name = next((name for name in free[each.is_survived] if name not in cut), None)
            if name:
                free[each.is_survived].remove(name)
                found.append(each.on(name))
            else:
                rest.append(each)
        return found, rest


def summary(outcomes: list[Outcome]) -> str:
    """A table by kind."""
    rows = ['| what | injections | ok | failed | unreachable | the run ended | longest, s | findings |',
            '|---|---|---|---|---|---|---|---|']
    struck = [each for each in outcomes if each.injection.at]
    groups = [(kind, [each for each in struck if each.injection.kind == kind]) for kind in KINDS]
    for kind, group in [*groups, ('all', struck)]:
        if group:
            ended = collections.Counter('the run' if each.ended.startswith('run') else each.ended for each in group)
            cells = [kind, len(group), *(ended[word] for word in ('ok', 'failed', 'unreachable', 'the run')),
                     f'{max(each.seconds for each in group):.1f}', sum(bool(each.findings) for each in group)]
            rows.append('| ' + ' | '.join(map(str, cells)) + ' |')
    return '\n'.join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog='./dev faults', description=__doc__)
    parser.add_argument('count', nargs='?', type=int, default=100, help='how many (100)')
    parser.add_argument('--seed', type=int, help='of the first one; they count up')
    parser.add_argument('--only', help=f'of {",".join(KINDS)}')
    parser.add_argument('--ways', default=','.join(WAYS))
    parser.add_argument('--folder', help='keeps what runs wrote')
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    core = max(Core.all(), key=lambda core: core.number)
    hosts = Hosts(pathlib.Path(os.environ['MITOSIS_HOSTS']))
    outcomes: list[Outcome] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='faults-') as temporary:
        folder = pathlib.Path(arguments.folder or temporary).absolute()
        folder.mkdir(exist_ok=True)
        with Faults(core, hosts, folder, arguments.ways.split(',')).ready() as faults:
            for way in faults.ways:
                calm = faults.untroubled(way)
                print(f'{way}, without a fault: {calm.findings or "right"}; bytes {faults.scenes[way].passed}',
                      flush=True)
            print(f'from seed {seed} on, {core.name}', flush=True)
            try:
                for outcome in faults.run(faults.drawn(seed, (arguments.only or ','.join(KINDS)).split(',')),
                                          arguments.count):
                    outcomes.append(outcome)
                    print(outcome, flush=True)
            except KeyboardInterrupt:
                pass
    print(f'\n{summary(outcomes)}\n\n{time.monotonic() - started:.0f} s')
    return any(each.findings for each in outcomes)


if __name__ == '__main__':
    sys.exit(main())
