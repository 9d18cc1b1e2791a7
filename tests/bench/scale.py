"""How a run grows with its hosts: ours, stock Ansible with pipelining, and Mitogen, in turns; wall time, CPU time and
memory of the controller.  Started by `./dev bench scale`.

Targets are names of this machine (connection `local`), so that their own work hides little; with --ssh, names of one
sshd, which share a login; with --logins, addresses of that host: each has a login of its own, and what that starts.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import choose, machine
from memory import watched
from runs import Bench, BenchError, Contestant, adopt_orphans, exit_with, first_host
from works import Work

TASKS = {"debug": {"ansible.builtin.debug": {"msg": "hello {{ inventory_hostname }}"}},
         "command": {"ansible.builtin.command": "hostname"}}
# All of it is the one host's.
NETWORK = ipaddress.ip_network("10.220.0.0/16")
HOSTS = Path(__file__).resolve().parent.parent / "hosts" / "hosts"
HEAD = ["tasks", "hosts", "", "wall s", "stock/it", "Mitogen/it", "CPU s", "CPU ms per host and task", "multiplexer's",
        "MB at most"]


class Scaled(Work):
    """So many of one task on so many hosts."""

    @property
    def playbook(self) -> str:
        task, number = self.name.split(" ")
        tasks = [{"name": f"{task} {n}", **TASKS[task]} for n in range(int(number))]
        return json.dumps([{"hosts": "targets", "gather_facts": False, "tasks": tasks}])


def inventory(hosts: int, like: Path | None, logins: bool) -> str:
    """Names of this machine, or of the first host of the inventory `like`, or addresses of that."""
    if like is None:
        lines = [f"h{n:03d} ansible_connection=local" for n in range(hosts)]
        return "\n".join(["[targets]", *lines, "[targets:vars]", "ansible_python_interpreter=/usr/bin/python3", ""])
    address, variables = first_host(like)
    lines = [f"h{n:03d} ansible_host={NETWORK[n + 1] if logins else address}" for n in range(hosts)]
    if logins:
        # Their keys are in no file, and not what is measured.
        options = "-o UserKnownHostsFile=/dev/null -o GlobalKnownHostsFile=/dev/null -o LogLevel=ERROR"
        variables = [line for line in variables if not line.startswith("ansible_ssh_common_args=")]
        variables += [f"ansible_ssh_common_args={options}", "ansible_host_key_checking=false"]
    return "\n".join(["[targets]", *lines, "[targets:vars]", *variables, ""])


@contextlib.contextmanager
def addresses(like: Path) -> Iterator[None]:
    """Meanwhile the first host has all addresses of NETWORK."""
    address, _ = first_host(like)
    there = [str(HOSTS), "exec", "t1", "ip", "route", "replace", "local", str(NETWORK), "dev", "lo"]
    for command in (there, ["ip", "route", "replace", str(NETWORK), "via", address]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"--logins needs hosts with a network of their own (as root): {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", str(NETWORK)], capture_output=True)


def over_local(side: Contestant) -> Contestant:
    """By connection, of the names of this machine."""
    return replace(side, arguments=[word.replace("mitosis.express.ssh", "mitosis.express.local")
                                    for word in side.arguments])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench scale", description=__doc__)
    parser.add_argument("--hosts", default="1,10,50,100,200,500", metavar="LIST")
    parser.add_argument("--tasks", default="debug 20,command 10", metavar="LIST",
                        help="of debug and command, and how many")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--forks", type=int, default=20, metavar="N")
    parser.add_argument("--only", metavar="LIST", help="of stock,mitogen,strategy,connection")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--ssh", action="store_true")
    where.add_argument("--logins", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="an SVG, of what --json wrote if --from names that")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--from", type=Path, dest="source", metavar="FILE")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    if arguments.source:
        results = json.loads(arguments.source.read_text())
    else:
        ssh = arguments.ssh or arguments.logins
        hosts = Path(os.environ["MITOSIS_HOSTS"], "inventory.ini") if ssh else None
        with addresses(hosts) if hosts and arguments.logins else contextlib.nullcontext():
            results = measure_all(arguments, hosts)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    if arguments.plot:
        from plot import plot
        plot(results, arguments.plot)
    return 0


def measure_all(arguments: argparse.Namespace, hosts: Path | None) -> list[dict[str, Any]]:
    venv = Path(sys.prefix)
    asked, sides = choose(venv, arguments.only)
    chosen = sides if hosts else [over_local(side) for side in sides]
    adopt_orphans()
    print(f"{machine()}; ansible-core {asked['ansible-core']}, Mitogen {asked['mitogen']}; {arguments.forks} forks; "
          f"medians of {arguments.rounds} runs in turns\n")
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    results = []
    for wanted in arguments.tasks.split(","):
        for number in map(int, arguments.hosts.split(",")):
            results += measure(wanted, number, chosen, arguments, venv, hosts)
    return results


def measure(wanted: str, number: int, chosen: list[Contestant], arguments: argparse.Namespace, venv: Path,
            hosts: Path | None) -> list[dict[str, Any]]:
    work = Scaled(wanted, f"{wanted} on {number}", number, [], -1)
    found: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        path = Path(folder, "inventory.ini")
        path.write_text(inventory(number, hosts, arguments.logins))
        bench = Bench(venv, path, os.environ["MITOSIS_COLLECTIONS"], arguments.forks)
        for _ in range(arguments.rounds):
            for side in chosen:
                run = bench.run(side, work)
                found.setdefault(side.name, []).append((run.wall, run.cpu))
                print(f"{side.title}: {work.text}: {run.wall:.2f} s", file=sys.stderr, flush=True)
        medians = {name: [statistics.median(values) for values in zip(*runs, strict=True)]
                   for name, runs in found.items()}
        # Looking at processes takes time: a run of its own.
        for side in chosen:
            with watched() as curve:
                bench.run(side, work)
            medians[side.name] += [curve.multiplexer, curve.peaks()[0]]
    for side in chosen:
        wall, cpu, multiplexer, memory = medians[side.name]
        ratios = [f"{medians[other][0] / wall:.2f}" if other in medians else "" for other in ("stock", "mitogen")]
        each = 1000 / number / int(wanted.split(" ")[1])
        print("| " + " | ".join([wanted, str(number), side.title, f"{wall:.2f}", *ratios, f"{cpu:.2f}",
                                 f"{cpu * each:.1f}", f"{multiplexer * each:.2f}", f"{memory:.0f}"]) + " |", flush=True)
    return [{"tasks": wanted, "hosts": number, "side": side.title,
             **dict(zip(("wall", "cpu", "multiplexer", "memory"), medians[side.name], strict=True))} for side in chosen]


if __name__ == "__main__":
    exit_with("scale", main)
