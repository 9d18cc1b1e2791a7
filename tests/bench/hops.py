"""A bastion: what passes on its link, and how long it takes, with so many hosts behind it.  Ours and Mitogen start the
connections from the bastion (mitosis_via, mitogen_via), stock Ansible by ssh's own jump through it, in turns.  Started
by `./dev bench hops`."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import choose, machine
from line import Line
from runs import Bench, Contestant, exit_with, first_host
from trips import SSH_ARGS
from works import Work

KEY = "/etc/mitosis-bench-key"
TOOL = Path(__file__).resolve().parent.parent / "hosts" / "hosts"
TASKS = [{"ping": None}, {"command": "hostname"}, {"stat": {"path": "/etc/hostname"}}, {"command": "id"},
         {"copy": {"content": "text", "dest": "/tmp/mitosis-bench-{{ inventory_hostname }}"}},
         {"file": {"path": "/tmp/mitosis-bench-{{ inventory_hostname }}", "state": "absent"}}]
NOBODY_KNOWS = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"


class Behind(Work):
    """The same few tasks on all hosts behind the bastion, which are that one by other addresses."""

    @property
    def playbook(self) -> str:
        return json.dumps([{"hosts": "behind", "gather_facts": False, "tasks": TASKS}])


def inventory(hosts: Path, line: Line, number: int, way: str) -> str:
    """The bastion behind the line, and the others behind it by `way`: 'mitosis', 'mitogen' or, for stock, 'jump'."""
    found = dict(variable.split("=", 1) for variable in first_host(hosts / "inventory.ini")[1])
    key = found["ansible_ssh_private_key_file"]
    bastion = f"-p {line.port} -i {key} -l root {NOBODY_KNOWS} 127.0.0.1"
    text = ["[all:vars]", "ansible_user=root", "ansible_python_interpreter=/usr/bin/python3", "[bastion]",
            f"bastion ansible_host=127.0.0.1 ansible_port={line.port} ansible_ssh_private_key_file={key} "
            f"ansible_ssh_common_args='{NOBODY_KNOWS}'",
            "[behind]", *(f"b{n} ansible_host=127.0.1.{n}" for n in range(1, number + 1)), "[behind:vars]"]
    if way == "jump":
        text += [f"ansible_ssh_private_key_file={key}",
                 f"ansible_ssh_common_args={NOBODY_KNOWS} -o ProxyCommand='ssh {bastion} -W %h:%p'"]
    else:
        text += [f"{way}_via=bastion", f"ansible_ssh_private_key_file={KEY}", f"ansible_ssh_common_args={NOBODY_KNOWS}"]
    return "\n".join([*text, ""])


def way_of(side: Contestant) -> str:
    return {"stock": "jump", "mitogen": "mitogen"}.get(side.name, "mitosis")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench hops", description=__doc__)
    parser.add_argument("--behind", default="1,20", metavar="N,N", help="hosts")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--rtt", type=int, default=0, metavar="MS", help="of the bastion's link, milliseconds")
    parser.add_argument("--no-compression", action="store_true", help="without that of ssh, which is Ansible's default")
    parser.add_argument("--only", metavar="LIST", help="of stock,mitogen,strategy,connection")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    venv, hosts = Path(sys.prefix), Path(os.environ["MITOSIS_HOSTS"])
    asked, sides = choose(venv, arguments.only)
    numbers = [int(text) for text in arguments.behind.split(",")]
    address, _ = first_host(hosts / "inventory.ini")
    key = (hosts / "id").read_text()
    subprocess.run([TOOL, "exec", "--dir", hosts, "t1", "sh", "-c", f"umask 077; cat >{KEY}"], input=key, text=True,
                   check=True)
    ssh_args = SSH_ARGS if arguments.no_compression else f"-C {SSH_ARGS}"
    found: dict[tuple[str, int], list[tuple[float, int, int]]] = {}
    with tempfile.TemporaryDirectory(prefix="hops-") as folder, Line((address, 22)).running() as line:
        line.rtt = arguments.rtt / 1000
        for _ in range(arguments.rounds):
            for number in numbers:
                for side in sides:
                    path = Path(folder, "inventory.ini")
                    path.write_text(inventory(hosts, line, number, way_of(side)))
                    bench = Bench(venv, path, os.environ["MITOSIS_COLLECTIONS"], max(numbers))
                    line.passed.clear()
                    run = bench.run(replace(side, environment=side.environment | {
                        "ANSIBLE_SSH_ARGS": ssh_args, "ANSIBLE_HOST_KEY_CHECKING": "False"}),
                        Behind("behind", f"{number} hosts", number, [], len(TASKS)))
                    up, down, _ = line.between(0, float("inf"))
                    found.setdefault((side.title, number), []).append((run.wall, up, down))
                    print(f"{side.title}, {number}: {run.wall:.1f} s, {up} up", file=sys.stderr, flush=True)
    print(f"{machine()}; ansible-core {asked['ansible-core']}, Mitogen {asked['mitogen']}; {len(TASKS)} tasks, "
          f"{'without' if arguments.no_compression else 'with'} ssh's compression, round trips of {arguments.rtt} ms\n")
    print("| |" + "".join(f" {n} behind: s | kB up | kB down |" for n in numbers))
    print("|---|" + "---|---|---|" * len(numbers))
    for side in sides:
        cells = []
        for number in numbers:
            wall, up, down = (statistics.median(column) for column in zip(*found[side.title, number], strict=True))
            cells.append(f" {wall:.2f} | {up / 1000:.0f} | {down / 1000:.0f} |")
        print(f"| {side.title} |{''.join(cells)}")
    return 0


if __name__ == "__main__":
    exit_with("hops", main)
