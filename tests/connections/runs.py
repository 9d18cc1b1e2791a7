"""Runs of playbooks against stand-ins, and hosts of other inventories: stock, by strategy, and by connection alone."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.support import control
from tests.integration.support.control import Control, Core, Finished

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / 'programs'
# sudo and su, for where the real ones are not there or ask for nothing.
MORE = PROGRAMS / 'more'
WAYS = ('stock', 'strategy', 'connection')
# Connections that have a plugin of ours to themselves; all others are told to `any`.
OWN = {'ssh', 'local', 'ansible.builtin.ssh', 'ansible.builtin.local'}
SUMMARY = re.compile(r'^mitosis: (\d+) of (\d+) task runs? accelerated(?:; \d+ stock: (.*))?$', re.M)


def pairs() -> list[tuple[Core, str]]:
    """Each ansible-core with the ways in that are tried with it: by default both with the newest, for which one run of
    stock's is enough."""
    newest = max(Core.all(), key=lambda core: core.number)
    return control.pairs() if control.ALL else [(newest, way) for way in control.WAYS]


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What `Control` asks of hosts, of which those here have nothing: they are reached by programs of this machine."""

    inventory: pathlib.Path
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)
    own: bool = False


def listed(core: Core, inventory: pathlib.Path) -> dict[str, dict[str, Any]]:
    """host -> its variables, as Ansible reads this inventory."""
    found = json.loads(_asked(core, inventory, 'ansible-inventory', '--list'))
    return {host: variables for host, variables in found['_meta']['hostvars'].items() if host != 'localhost'}


def grouped(core: Core, group: str, inventory: pathlib.Path) -> set[str]:
    """The hosts of a group."""
    return {line.strip() for line in _asked(core, inventory, 'ansible', group, '--list-hosts').splitlines()[1:]}


def _asked(core: Core, inventory: pathlib.Path, program: str, *words: str) -> str:
    argv = [f'{core.venv}/bin/{program}', *words, '-i', str(inventory)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
    return done.stdout.decode()


def here(plugin: str) -> bool:
    """Is the collection of this plugin here?"""
    namespace, *rest = plugin.split('.')
    return not rest or namespace == 'ansible' or any(
        pathlib.Path(path, 'ansible_collections', namespace, rest[0]).is_dir() for path in collections().split(':'))


def collections() -> str:
    """Where collections are: ours, and those of others."""
    return os.environ.get('ANSIBLE_COLLECTIONS_PATH') or os.environ['MITOSIS_COLLECTIONS']


def by_connection(hosts: dict[str, dict[str, Any]]) -> str:
    """An inventory that has each host reached by a connection of ours: YAML, as JSON is."""
    changed = {}
    for host, variables in hosts.items():
        inner = variables.get('ansible_connection', 'ssh')
        changed[host] = {'ansible_connection': f'mitosis.express.{inner.rpartition(".")[2]}'} if inner in OWN else \
            {'ansible_connection': 'mitosis.express.any', 'mitosis_connection': inner}
    return json.dumps({'all': {'hosts': changed}}, indent=1)


class Place:
    """A controller, and the folder that tells stand-ins how to behave."""

    def __init__(self, core: Core, way: str, folder: pathlib.Path, inventory: pathlib.Path,
                 hosts: dict[str, dict[str, Any]]) -> None:
        self.way, self.folder = way, folder
        self.control = Control(core, way, Inventory(inventory), folder)  # type: ignore[arg-type]
        self.control.inventories = [inventory]
        if way == 'connection':
            self.control.add_inventory('any.yml', by_connection(hosts))
        self.state = folder / 'standins'
        for host in hosts:
            (self.state / 'instances' / host / 'home').mkdir(parents=True)
        # Whom tasks become has to come by.
        for path in (folder, *folder.parents):
            if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o777 == 0o700:
                path.chmod(0o711)

    def tell(self, host: str, word: str) -> None:
        """Have an instance misbehave: see programs/_standin.py."""
        (self.state / 'instances' / host / word).touch()

    def run(self, playbook: pathlib.Path, *args: str, seconds: float, path: str = f'{PROGRAMS}:{{}}:{MORE}',
            **environ: str) -> Finished:
        """Run a playbook; in `path`, {} is the PATH that it would have."""
        usual = f'{self.control.core.venv}/bin:{os.environ["PATH"]}'
        return self.control.playbook(playbook, *args, seconds=seconds, env={
            'PATH': path.format(usual), 'MITOSIS_STANDINS': str(self.state), 'MITOSIS_WORKERS': 'auto',
            'ANSIBLE_COLLECTIONS_PATH': collections(),
            'ANSIBLE_CONNECTION_PLUGINS': str(HERE / 'connection_plugins'), **environ})


class Runs:
    """Runs of playbooks by key, each done once; one that fails does so for all who ask."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._found: dict[tuple[str, ...], tuple[Any, Exception | None]] = {}

    def once(self, key: tuple[str, ...], run: Callable[[], Any]) -> Any:
        if key not in self._found:
            try:
                self._found[key] = run(), None
            except Exception as e:
                self._found[key] = None, e
        found, error = self._found[key]
        if error:
            raise error
        return found

    def end(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def parameters(session: pytest.Session, file: str, name: str) -> list[dict[str, Any]]:
    """Those of the tests of a file that have a parameter of this name."""
    found = [item.callspec.params for item in session.items
             if isinstance(item, pytest.Function) and hasattr(item, 'callspec') and item.path == pathlib.Path(file)]
    return [params for params in found if name in params]


def counted(finished: Finished) -> tuple[int, list[str]]:
    """Of the lines at the ends of plays: how many task runs were accelerated, and 'N reason' for the others."""
    fast, slow = 0, []
    for one, _, reasons in SUMMARY.findall(finished.err):
        fast += int(one)
        slow += [reason for reason in reasons.split(', ') if reason]
    return fast, slow
