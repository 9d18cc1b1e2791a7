"""One run of ansible-playbook by one contestant: wall time, CPU time of all that it started, did it go well?"""

from __future__ import annotations

import configparser
import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

from works import Work

HERE = Path(__file__).resolve().parent
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+) .*unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
COUNTED = re.compile(r"^mitosis: .*$", re.MULTILINE)
TIMEOUT = 900
PR_SET_CHILD_SUBREAPER = 36
# How long helpers that detach themselves may outlive the run.
AFTER = 20


class BenchError(Exception):
    """The benchmark can't be run, or somebody's run failed."""


@dataclass
class Contestant:
    name: str
    title: str
    environment: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)


@dataclass
class Run:
    wall: float
    cpu: float
    note: str = ""

    as_dict = asdict


def first_host(inventory: Path) -> tuple[str, list[str]]:
    """Address of the first host of tests/hosts/hosts, and the lines of its variables."""
    parser = configparser.ConfigParser(allow_no_value=True, delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(inventory)
    address = next(value for key, value in parser["targets"].items() if key.startswith("t1 "))
    return address, [f"{key}={value}" for key, value in parser["targets:vars"].items()]


def exit_with(name: str, main: Callable[[], int]) -> NoReturn:
    """End the program `name`."""
    try:
        sys.exit(main())
    except BenchError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(1)


def contestants(mitogen: Path | None) -> dict[str, Contestant]:
    found = [
        Contestant("stock", "stock, pipelining"),
        Contestant("strategy", "mitosis.express.linear", {"ANSIBLE_STRATEGY": "mitosis.express.linear"}),
        Contestant("connection", "mitosis.express.ssh", {}, ["-e", "ansible_connection=mitosis.express.ssh"]),
    ]
    if mitogen:
        plugins = mitogen / "plugins" / "strategy"
        found.insert(1, Contestant("mitogen", "Mitogen", {
            "ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(plugins)}))
    return {contestant.name: contestant for contestant in found}


def adopt_orphans() -> bool:
    """Processes that detach themselves from a run become ours, so that their CPU time is known when they end."""
    try:
        return ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    except (AttributeError, OSError):
        return False


class Bench:
    def __init__(self, venv: Path, inventory: Path, collections: str, forks: int) -> None:
        self.playbook = venv / "bin" / "ansible-playbook"
        self.inventory, self.collections, self.forks = inventory, collections, forks

    def run(self, contestant: Contestant, work: Work) -> Run:
        # A short path: ssh puts its ControlPath, a socket of at most 108 bytes, below it.
        home = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
        try:
            return self._run(contestant, work, home)
        finally:
            end_ssh_masters(home)
            shutil.rmtree(home, ignore_errors=True)

    def _run(self, contestant: Contestant, work: Work, home: Path) -> Run:
        (home / "work.yml").write_text(work.playbook)
        (home / "ansible.cfg").touch()
        command = [str(self.playbook), "-i", str(self.inventory), "-f", str(self.forks),
                   "-e", f"bench_folder={home}/targets", *contestant.arguments, str(home / "work.yml")]
        with open(home / "output", "w+") as output:
            started = time.monotonic()
            process = subprocess.Popen(command, env=self._environment(home) | contestant.environment, cwd=home,
                                       stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                       start_new_session=True)
            timer = threading.Timer(TIMEOUT, os.killpg, (process.pid, signal.SIGKILL))
            timer.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except KeyboardInterrupt:
                os.killpg(process.pid, signal.SIGTERM)
                raise
            finally:
                timer.cancel()
            wall = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
        end_ssh_masters(home)
        rest, late = reap(AFTER)
        note = check(contestant, work, process.returncode, text)
        if late:
            note = f"{note}; {late} processes had to be ended {AFTER} s after the run".lstrip("; ")
        return Run(wall, cpu_of(usage) + rest, note)

    def _environment(self, home: Path) -> dict[str, str]:
        # Python may keep compiled code, as on a user's machine.
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "MITO", "PYTHON"))}
        return kept | {
            "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),
            "ANSIBLE_COLLECTIONS_PATH": self.collections,
            "ANSIBLE_ROLES_PATH": str(HERE / "roles"),
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_DEPRECATION_WARNINGS": "False",
            "ANSIBLE_NOCOLOR": "1",
        }


def cpu_of(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def reap(seconds: float) -> tuple[float, int]:
    """CPU seconds of orphans that end within this time, and how many had to be ended."""
    cpu, late, deadline = 0.0, 0, time.monotonic() + seconds
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu, late
        if pid:
            cpu += cpu_of(usage)
            continue
        if time.monotonic() > deadline:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            late += len(children)
            for child in children:
                os.kill(int(child), signal.SIGKILL)
            deadline += seconds
        time.sleep(0.02)


def end_ssh_masters(home: Path) -> None:
    for socket in (home / "cp").glob("*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "none"], capture_output=True, timeout=10)


def check(contestant: Contestant, work: Work, code: int, output: str) -> str:
    """Nobody wins by failing.  Returns what Mitosis says about itself."""
    recap = {host: tuple(map(int, counts)) for host, *counts in RECAP.findall(output)}
    expected = [(work.expected_ok, 0, 0)] if work.expected_ok >= 0 else [(ok, 0, 0) for ok, *_ in recap.values()]
    if code or len(recap) != work.hosts or any(counts not in expected for counts in recap.values()):
        raise BenchError(f"{contestant.title}, {work.text}: ended with {code}\n{output[-3000:]}")
    counted = COUNTED.search(output)
    return counted.group().removeprefix("mitosis: ") if counted else ""
