"""Each become plugin with each behaviour of the program that it runs: stock and ours come to the same end."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.connections.runs import HERE, MORE, PROGRAMS, Place, Runs, here, pairs, parameters
from tests.integration.support.compare import aligned, by_host, short
from tests.integration.support.control import ALL, Core, Finished

pytestmark = pytest.mark.timeout(1800)
SECONDS = 800.0
# Whom tasks become, where we may become anybody.
USER = 'nobody'
# How long stock waits for a word of the program, and how long the silent one says nothing.
TIMEOUT, SILENCE = 4, 9


@dataclasses.dataclass(frozen=True)
class Method:
    """A become plugin, the flags it has by default, and the name of its option of prompts in other languages."""

    name: str
    flags: str = ''
    exe: str = ''
    prompts: str = ''
    # What else its hosts are told.
    more: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What a program does (programs/_become.py), and what the host's variables say."""

    name: str
    told: dict[str, Any] = dataclasses.field(default_factory=dict)
    password: str | None = 'right'
    pipelining: bool = True
    # Prompts that the plugin is told of, where it can be told.
    prompts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """As flags name it: some plugins take `-n` out of these wherever it stands."""
        return re.sub(r'\W+', '_', self.name)


METHODS = [
    Method('sudo', '-H -S -n', exe=str(MORE / 'sudo')),
    Method('su', exe=str(MORE / 'su'), prompts='ansible_su_prompt_l10n'),
    Method('community.general.doas', prompts='ansible_doas_prompt_l10n'),
    Method('community.general.doas', more=(('ansible_doas_allow_pipelining', True),)),
    Method('community.general.dzdo', '-H -S -n'),
    Method('community.general.ksu', prompts='ansible_ksu_prompt_l10n'),
    Method('community.general.machinectl'),
    Method('community.general.pbrun'),
    Method('community.general.pbrun', more=(('ansible_pbrun_wrap_execution', True),)),
    Method('community.general.pfexec'),
    Method('community.general.pfexec', more=(('ansible_pfexec_wrap_execution', True),)),
    Method('community.general.pmrun'),
    Method('community.general.run0'),
    Method('community.general.sesu', '-H -S -n'),
    Method('community.general.sudosu', '-H -S -n'),
    Method('community.general.sudosu', '-H -S -n', more=(('ansible_sudosu_alt_method', True),)),
]
EXPIRED = 'You are required to change your password immediately (password expired).\n'
BEHAVIOURS = [
    Behaviour('right'),
    Behaviour('right, on a terminal', pipelining=False),
    Behaviour('wrong', password='wrong'),
    Behaviour('wrong, on a terminal', password='wrong', pipelining=False),
    Behaviour('missing', password=None),
    Behaviour('missing, on a terminal', password=None, pipelining=False),
    Behaviour('empty', password=''),
    Behaviour('not asked for', {'prompts': []}),
    Behaviour('not asked for, none given', {'prompts': []}, password=None),
    Behaviour('unusual characters', {'password': 'pässword "\'$x `id` ☃'}, password='pässword "\'$x `id` ☃'),
    Behaviour('in German', {'prompts': ['Passwort: ']}),
    Behaviour('in Japanese', {'prompts': ['パスワード\uff1a']}),
    Behaviour('in French', {'prompts': ['Mot de passe : ']}),
    Behaviour('unknown words', {'prompts': ['Geheimnis? ']}),
    Behaviour('unknown words, told', {'prompts': ['Geheimnis: ']}, prompts=('Geheimnis',)),
    Behaviour('on stdout', {'out': 'stdout'}),
    Behaviour('on stderr', {'out': 'stderr'}),
    Behaviour('only by a terminal', {'out': 'tty', 'read': 'tty'}),
    Behaviour('only by a terminal, on one', {'out': 'tty', 'read': 'tty'}, pipelining=False),
    Behaviour('banner', {'banner': 'Unauthorised use is prohibited.\nYour password expires in 3 days.\n'}),
    Behaviour('banner, not asked for', {'banner': 'Password: see the policy.\nEnjoy.\n', 'pause': 0.5, 'prompts': []}),
    Behaviour('banner like a prompt', {'banner': 'Password: see the policy.\n', 'pause': 0.5}),
    Behaviour('words after it', {'after': 'Last login: yesterday, by password.\n'}),
    Behaviour('twice', {'prompts': ['{prompt}', '{prompt}']}),
    Behaviour('a second secret', {'prompts': ['{prompt}', 'Verification code: ']}),
    Behaviour('expired', {'after': EXPIRED, 'refuse': 1}),
    Behaviour('refused at once', {'prompts': [], 'after': 'You may not do that.\n', 'refuse': 5, 'out': 'stderr'}),
    Behaviour('slow', {'hang': 1}),
    Behaviour('silent', {'hang': SILENCE}),
]
# Where stock does not come through, and we do: a terminal is there for whoever needs one, and a prompt is found behind
# other words too.
THROUGH = re.compile(r'(su|doas|machinectl)-only-by-a-terminal|(doas|ksu)-(.*-)?banner')
# What is told of a failure, by stock's local connection and by ours, which speaks as ssh's does.
WORDS = [
    (r'Premature end of stream waiting',
     r'(Incorrect|Missing) \S+ password|non-zero return code|Module result|MODULE FAILURE'),
    (r'Duplicate become password prompt', r'Incorrect \S+ password'),
    (r'Timed out waiting for become success', r'Timeout \(\d+s\) waiting for privilege escalation prompt'),
    # Before 2.19
    (r'privilege output closed while waiting', r'(Incorrect|Missing) \S+ password|non-zero return code|MODULE FAILURE'),
    (r'timeout waiting for privilege escalation', r'Timeout \(\d+s\) waiting for privilege escalation prompt'),
]
# What may differ where both come through: what was said and asked before a raw command is no part of its stderr.
DIFFERENCES = [r'^raw \(failed\): stderr: ".*(/\w+)" \| "\1"$',
               r'^raw \(failed\): stderr_lines(\[\d\])?: .*?(/\w+)"\]? \| \[?"\2"\]?$']


def key(method: Method, behaviour: Behaviour) -> str:
    """The name of a host."""
    options = [name.removeprefix('ansible_') for name, _ in method.more]
    return re.sub(r'\W+', '-', ' '.join([method.name.rpartition('.')[2], *options, behaviour.name]))


# What another way to call a program may make different; without MITOSIS_ALL all are tried with these only.
FEW = {'right', 'right, on a terminal', 'wrong', 'missing', 'not asked for', 'banner'}
CASES = {key(method, behaviour): (method, behaviour) for method in METHODS for behaviour in BEHAVIOURS
         if (method.prompts or not behaviour.prompts) and (behaviour.name in FEW or (ALL and not method.more))}


def variables(method: Method, behaviour: Behaviour) -> dict[str, Any]:
    """What the inventory says of a host."""
    name = method.name.rpartition('.')[2]
    found: dict[str, Any] = {
        'ansible_become_method': method.name, 'ansible_pipelining': behaviour.pipelining,
        'ansible_become_exe': method.exe or str(PROGRAMS / name),
        'ansible_become_flags': f'{method.flags} --standin={behaviour.key}'.strip()}
    if name == 'sudosu':
        # It runs the sudo and su of PATH.
        del found['ansible_become_exe']
    if behaviour.password is not None:
        found['ansible_become_password'] = behaviour.password
    if behaviour.prompts:
        found[method.prompts] = list(behaviour.prompts)
    return {**found, **dict(method.more)}


def inventory() -> str:
    """YAML, as JSON is."""
    common = {'ansible_connection': 'local', 'ansible_python_interpreter': '/usr/bin/python3', 'standin_user': user(),
              'ansible_local_become_success_timeout': TIMEOUT}
    hosts = {name: variables(*case) for name, case in CASES.items() if here(case[0].name)}
    return json.dumps({'all': {'children': {'become': {'hosts': hosts, 'vars': common}}}}, indent=1, ensure_ascii=False)


def user() -> str:
    return USER if os.geteuid() == 0 else ''


class BecomeRun:
    """A run with all hosts that are asked for."""

    def __init__(self, core: Core, way: str, folder: pathlib.Path, chosen: list[str]) -> None:
        folder.mkdir(parents=True)
        path = folder / 'inventory.yml'
        path.write_text(inventory())
        names = [name for name, (method, _) in CASES.items() if here(method.name)]
        place = Place(core, way, folder / 'run', path, {name: {'ansible_connection': 'local'} for name in names})
        told = {behaviour.key: behaviour.told for behaviour in BEHAVIOURS}
        (place.state / 'become.json').write_text(json.dumps(told))
        limit = folder / 'limit'
        limit.write_text('\n'.join(chosen))
        self.own = [(str(folder), 'FOLDER'), (str(HERE), 'HERE')]
        # sudosu finds the stand-ins of sudo and su before the real ones.
        self.finished: Finished = place.run(
            HERE / 'become.yml', '--limit', f'@{limit}', seconds=SECONDS, path=f'{MORE}:{PROGRAMS}:{{}}',
            ANSIBLE_TIMEOUT=str(TIMEOUT), ANSIBLE_FORKS='8')
        self.hosts = by_host(self.finished.records, self.own)
        # Stock does not end what does not answer; it ends of itself.
        self.leftovers = place.control.leftovers()


class BecomeRuns(Runs):
    """By ansible-core and way, for all hosts that somebody asks for."""

    def __init__(self, folder: pathlib.Path, wanted: dict[Core, set[str]]) -> None:
        super().__init__(folder)
        self._wanted = wanted

    def get(self, core: Core, way: str) -> BecomeRun:
        # Names of one length: they show in messages.
        folder = self.folder / f'{core.version}-{way[:5]}'
        chosen = sorted(self._wanted.get(core, CASES))
        found: BecomeRun = self.once((core.version, way), lambda: BecomeRun(core, way, folder, chosen))
        return found


@pytest.fixture(scope='session')
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BecomeRuns]:
    wanted: dict[Core, set[str]] = {}
    for params in parameters(request.session, __file__, 'host'):
        wanted.setdefault(params['core'], set()).add(params['host'])
    found = BecomeRuns(tmp_path_factory.mktemp('become'), wanted)
    yield found
    found.end()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Stock's local connection of before 2.19 has ends of its own for most of what is not a plain prompt.
    cores = [core for core in dict.fromkeys(core for core, _ in pairs()) if core.number >= (2, 19)]
    names = [name for name, (method, _) in CASES.items() if here(method.name)]
    if 'core' in metafunc.fixturenames:
        metafunc.parametrize('core', cores, ids=str)
    if 'host' in metafunc.fixturenames:
        metafunc.parametrize('host', names)


def through(record: dict[str, Any]) -> bool:
    """Did the command run?  The raw one says so by its exit code."""
    return record['event'] == 'ok' or (record['task'] == 'raw' and record['result'].get('rc') == 3)


def both(core: Core, host: str, runs: BecomeRuns) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What stock and ours say of each task."""
    stock, ours = runs.get(core, 'stock'), runs.get(core, 'strategy')
    found = []
    for run in (stock, ours):
        records = [record for record in run.hosts.get(host, []) if record['event'] != 'stats']
        assert [record['task'] for record in records] == ['module', 'raw'], f'{host} is not there:\n{run.finished}'
        found.append(records)
    return list(zip(*found, strict=True))


def test_same_end(core: Core, host: str, runs: BecomeRuns) -> None:
    """Does the command run, has it failed, or is the host unreachable?  Where it runs, all that it says is the same."""
    for one, two in both(core, host, runs):
        if through(two) and not through(one) and THROUGH.search(host):
            continue
        assert (through(one), one['event']) == (through(two), two['event']), f'{short(one)}\n{short(two)}'
        if through(one):
            found = [line for line in aligned([one], [two]) if not any(re.search(text, line) for text in DIFFERENCES)]
            assert not found, '\n'.join(found)


def test_same_words(core: Core, host: str, runs: BecomeRuns) -> None:
    """What is told of a failure is the same, or of the same kind."""
    for one, two in both(core, host, runs):
        if not through(one) and not through(two):
            stock, ours = (str(record['result'].get('msg')) for record in (one, two))
            assert stock == ours or any(re.search(left, stock) and re.search(right, ours) for left, right in WORDS), \
                f'{one["task"]}: {stock} | {ours}'


def test_nothing_of_ours_is_told(core: Core, runs: BecomeRuns) -> None:
    """Commands that start our code are in no result."""
    told = [f'{host}: {short(record)}' for host, records in runs.get(core, 'strategy').hosts.items()
            for record in records if re.search(r'a2b_base64|mitogen', json.dumps(record))]
    assert not told, '\n'.join(told)


def test_no_password_is_told(core: Core, runs: BecomeRuns) -> None:
    """Not by results, and not on the terminal."""
    for way in ('stock', 'strategy'):
        run = runs.get(core, way)
        assert 'pässword' not in json.dumps(run.hosts, ensure_ascii=False) + run.finished.text


def test_nothing_is_left(core: Core, runs: BecomeRuns) -> None:
    run = runs.get(core, 'strategy')
    assert not [line for line in run.leftovers if line.startswith('process')], '\n'.join(run.leftovers)
