"""How a run grows with its hosts: ours, stock Ansible with pipelining, and Mitogen, in turns; wall time, CPU time and
memory of the controller.  Started by `./dev bench scale`.

Targets are names of this machine (connection `local`), so that their own work hides little; or, with --ssh, names of
one sshd of a host in a network namespace of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import choose, machine
from memory import watched
from runs import Bench, Contestant, adopt_orphans, exit_with, first_host
from works import Work

TASKS = {"debug": {"ansible.builtin.debug": {"msg": "hello {{ inventory_hostname }}"}},
         "command": {"ansible.builtin.command": "hostname"}}


class Scaled(Work):
    """So many of one task on so many hosts."""

    @property
    def playbook(self) -> str:
        task, number = self.name.split(" ")
        tasks = [{"name": f"{task} {n}", **TASKS[task]} for n in range(int(number))]
        return json.dumps([{"hosts": "targets", "gather_facts": False, "tasks": tasks}])


def inventory(hosts: int, like: Path | None) -> str:
    """Names of this machine, or of the first host of the inventory `like`."""
    if like is None:
        lines = [f"h{n:03d} ansible_connection=local" for n in range(hosts)]
        return "\n".join(["[targets]", *lines, "[targets:vars]", "ansible_python_interpreter=/usr/bin/python3", ""])
    address, variables = first_host(like)
    return "\n".join(["[targets]", *[f"h{n:03d} ansible_host={address}" for n in range(hosts)], "[targets:vars]",
                      *variables, ""])


def over_local(side: Contestant) -> Contestant:
    """By connection, of the names of this machine."""
    return replace(side, arguments=[word.replace("mitosis.express.ssh", "mitosis.express.local")
                                    for word in side.arguments])


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench scale", description=__doc__)
    parser.add_argument("--hosts", default="1,10,50,100,200", metavar="LIST")
    parser.add_argument("--tasks", default="debug 20,command 10", metavar="LIST",
                        help="of debug and command, and how many")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--forks", type=int, default=20, metavar="N")
    parser.add_argument("--only", metavar="LIST", help="of stock,mitogen,strategy,connection")
    parser.add_argument("--ssh", action="store_true")
    arguments = parser.parse_args()
    venv, hosts = Path(sys.prefix), Path(os.environ["MITOSIS_HOSTS"])
    asked, sides = choose(venv, arguments.only)
    chosen = sides if arguments.ssh else [over_local(side) for side in sides]
    adopt_orphans()
    print(f"{machine()}; ansible-core {asked['ansible-core']}, Mitogen {asked['mitogen']}; {arguments.forks} forks; "
          f"medians of {arguments.rounds} runs in turns\n")
    print("| tasks | hosts | | wall s | stock/it | Mitogen/it | CPU s | CPU ms per host and task | MB at most |")
    print("|---|---|---|---|---|---|---|---|---|")
    for wanted in arguments.tasks.split(","):
        for number in map(int, arguments.hosts.split(",")):
            measure(wanted, number, chosen, arguments, venv, hosts)
    return 0


def measure(wanted: str, number: int, chosen: list[Contestant], arguments: argparse.Namespace, venv: Path,
            hosts: Path) -> None:
    work = Scaled(wanted, f"{wanted} on {number}", number, [], -1)
    found: dict[str, list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        path = Path(folder, "inventory.ini")
        path.write_text(inventory(number, hosts / "inventory.ini" if arguments.ssh else None))
        bench = Bench(venv, path, os.environ["MITOSIS_COLLECTIONS"], arguments.forks)
        for _ in range(arguments.rounds):
            for side in chosen:
                with watched() as curve:
                    run = bench.run(side, work)
                found.setdefault(side.name, []).append((run.wall, run.cpu, curve.peaks()[0]))
                print(f"{side.title}: {work.text}: {run.wall:.2f} s", file=sys.stderr, flush=True)
    medians = {name: [statistics.median(values) for values in zip(*runs, strict=True)] for name, runs in found.items()}
    for side in chosen:
        wall, cpu, memory = medians[side.name]
        ratios = " | ".join(f"{medians[other][0] / wall:.2f}" if other in medians else ""
                            for other in ("stock", "mitogen"))
        each = 1000 * cpu / number / int(wanted.split(" ")[1])
        print(f"| {wanted} | {number} | {side.title} | {wall:.2f} | {ratios} | {cpu:.2f} | {each:.1f} | {memory:.0f} |",
              flush=True)


if __name__ == "__main__":
    exit_with("scale", main)
