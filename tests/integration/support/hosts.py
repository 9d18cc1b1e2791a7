"""The test hosts of tests/hosts/hosts, seen from outside: their processes and files."""

from __future__ import annotations

import configparser
import contextlib
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterator

TOOL = pathlib.Path(__file__).resolve().parents[2] / 'hosts' / 'hosts'
# Where the things that modules and contexts leave behind would be.
TEMPORARY = ('tmp', 'var/tmp', 'dev/shm', 'root/.ansible/tmp')


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Is it so within `seconds`?"""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def command_line(pid: int) -> str:
    """The command line of a process, or nothing if it has ended."""
    try:
        return pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().replace(b'\0', b' ').decode('utf-8', 'replace').strip()
    except OSError:
        return ''


def all_pids() -> Iterator[int]:
    return (int(name) for name in os.listdir('/proc') if name.isdigit())


class Hosts:
    """t1..tN of one folder of the tool `hosts`."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.inventory = folder / 'inventory.ini'
        parser = configparser.ConfigParser(allow_no_value=True, delimiters=('=',), interpolation=None, strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(self.inventory)
        self.variables = {key: value or '' for key, value in parser['targets:vars'].items()}
        self.addresses = {key.split()[0]: value or '' for key, value in parser['targets'].items()}
        self.own = self.variables['mitosis_hosts_mode'] == 'netns'

    @classmethod
    def up(cls, count: int, folder: pathlib.Path) -> Hosts:
        """Start hosts of one's own.  Only where the machine lets us: in mode netns."""
        subprocess.run([TOOL, 'up', str(count), '--mode', 'netns', '--dir', folder], check=True, timeout=60,
                       stdin=subprocess.DEVNULL)
        return cls(folder)

    def down(self) -> None:
        subprocess.run([TOOL, 'down', '--dir', self.folder], check=True, timeout=60, stdin=subprocess.DEVNULL)

    def init(self, name: str) -> int:
        """The pid, seen from outside, of a host's first process."""
        return int((self.folder / name / 'pid').read_text().split()[0])

    def root(self, name: str) -> pathlib.Path:
        """A host's root folder, seen from outside."""
        return pathlib.Path(f'/proc/{self.init(name)}/root')

    def exec(self, name: str, *argv: str, check: bool = True) -> str:
        """What a command says that runs as root inside a host, without ssh."""
        done = subprocess.run([TOOL, 'exec', '--dir', self.folder, name, *argv], capture_output=True, text=True,
                              timeout=60, check=False, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise RuntimeError(f'{argv} on {name}: {done.stdout}{done.stderr}')
        return done.stdout

    def processes(self, name: str) -> dict[int, str]:
        """pid seen from outside -> command line, of all but the host's sshd and what it forks for itself."""
        init = self.init(name)
        space = os.readlink(f'/proc/{init}/ns/pid')
        found = {}
        for pid in all_pids():
            try:
                inside = os.readlink(f'/proc/{pid}/ns/pid') == space
            except OSError:
                continue
            line = command_line(pid) if inside and pid != init else ''
            if line and not line.startswith('sshd: '):
                found[pid] = line
        return found

    def pids(self, name: str, text: str) -> list[int]:
        """Processes of a host with `text` in their command lines."""
        return sorted(pid for pid, line in self.processes(name).items() if text in line)

    def files(self, name: str) -> set[str]:
        """What lies in a host's temporary folders."""
        root = self.root(name)
        folders = [root / folder for folder in TEMPORARY] + list(root.glob('home/*/.ansible/tmp'))
        found = {path.relative_to(root) for folder in folders if folder.is_dir() for path in folder.rglob('*')}
        # A host's /root is this machine's below, where others may be at work, as controllers too.
        return {str(path) for path in found if path.parts[0] != 'root' or
                not (os.path.lexists('/' / path) or any(part.startswith('ansible-local-') for part in path.parts))}


@contextlib.contextmanager
def silent(hosts: Hosts, name: str) -> Iterator[None]:
    """The host is away for a while."""
    hosts.exec(name, 'ip', 'link', 'set', 'eth0', 'down')
    try:
        yield
    finally:
        hosts.exec(name, 'ip', 'link', 'set', 'eth0', 'up')
