"""Round trips: how an action's time grows with the time of a round trip, and what it sends and gets.  Ours, stock
Ansible with pipelining, and Mitogen, in turns, on a line to one host that is made slow.  Started by
`./dev bench trips`.

Round trips per item are a slope: seconds more, by seconds more of round trip, by items.  What does not wait for the
line falls out."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import choose, machine
from line import Line
from runs import HERE, Bench, Contestant, exit_with, first_host
from works import Work

# Ansible's own without compression: bytes are to be those of what is sent.
SSH_ARGS = "-o ControlMaster=auto -o ControlPersist=60s"
FOLDER = "/tmp/mitosis-trips"
# What is measured: name -> task, in which {n} stands for the number of the item.
ACTIONS: dict[str, dict[str, Any]] = {
    "command": {"command": "echo {n}"},
    "command, become": {"command": "echo {n}", "become": True},
    "file": {"file": {"path": f"{FOLDER}/file{{n}}", "state": "touch", "mode": "0600"}},
    "stat": {"stat": {"path": f"{FOLDER}/file{{n}}"}},
    "slurp": {"slurp": {"src": "/etc/hostname"}},
    "raw": {"raw": "echo {n}"},
    "script": {"script": "{{{{ bench_source }}}}/script {n}"},
    "copy, new": {"copy": {"src": "{{{{ bench_source }}}}/text", "dest": f"{FOLDER}/copy{{n}}"}},
    "copy, become": {"copy": {"content": "{n}", "dest": f"{FOLDER}/become{{n}}"}, "become": True},
    "copy, unchanged": {"copy": {"src": "{{{{ bench_source }}}}/text", "dest": f"{FOLDER}/copy{{n}}"}},
    "copy, changed": {"copy": {"content": "{n}", "dest": f"{FOLDER}/copy{{n}}", "mode": "0640"}},
    "copy, 20 files, new": {"copy": {"src": "{{{{ bench_source }}}}/files", "dest": f"{FOLDER}/files{{n}}/"}},
    "copy, 20 files, unchanged": {"copy": {"src": "{{{{ bench_source }}}}/files", "dest": f"{FOLDER}/files{{n}}/"}},
    "template, new": {"template": {"src": "{{{{ bench_source }}}}/text", "dest": f"{FOLDER}/template{{n}}"}},
    "template, unchanged": {"template": {"src": "{{{{ bench_source }}}}/text", "dest": f"{FOLDER}/template{{n}}"}},
    "assemble": {"assemble": {"src": "{{{{ bench_source }}}}/parts", "dest": f"{FOLDER}/parts{{n}}",
                              "remote_src": False}},
    "fetch": {"fetch": {"src": f"{FOLDER}/copy{{n}}", "dest": "{{{{ bench_folder }}}}/fetched/"}},
    "unarchive": {"unarchive": {"src": "{{{{ bench_source }}}}/archive.tar", "dest": FOLDER}},
    "async start": {"command": "echo {n}", "async": 60, "poll": 0},
}
FIRST = {"name": "first", "command": "hostname"}
FOLDER_TASK = {"name": "folder", "file": {"path": FOLDER, "state": "directory"}}


def with_number(value: Any, number: str) -> Any:
    if isinstance(value, str):
        return value.format(n=number)
    if isinstance(value, dict):
        return {key: with_number(item, number) for key, item in value.items()}
    return value


def play(actions: list[str], count: int, items: int) -> Work:
    """`count` tasks of each action, and a loop of it."""
    tasks: list[dict[str, Any]] = [FIRST, FOLDER_TASK]
    for name in actions:
        tasks.append({"name": f"warm {name}"} | with_number(ACTIONS[name], "warm"))
        tasks += [{"name": f"{name} #{n}"} | with_number(ACTIONS[name], str(n)) for n in range(count)]
    for name in actions:
        tasks.append({"name": f"loop {name}", "loop": [f"i{n}" for n in range(items)]}
                     | with_number(ACTIONS[name], "{{ item }}"))
    tasks.append({"name": "removal", "file": {"path": FOLDER, "state": "absent"}})

    class Trips(Work):
        @property
        def playbook(self) -> str:
            return json.dumps([{"hosts": "far", "gather_facts": False, "tasks": tasks}])
    return Trips("trips", "actions on a slow line", 1, [], -1)


def sources(folder: Path) -> None:
    (folder / "parts").mkdir()
    for name in ("a", "b"):
        (folder / "parts" / name).write_text(name)
    (folder / "files").mkdir()
    for number in range(20):
        (folder / f"files/{number}").write_text(f"file {number}\n" * 20)
    (folder / "text").write_text("what is copied\n" * 20)
    (folder / "script").write_text("#!/bin/sh\necho $1\n")
    subprocess.run(["tar", "cf", folder / "archive.tar", "-C", folder, "text"], check=True)


class Spans(dict[str, tuple[float, float]]):
    """When each task began and ended (seconds)."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        began: dict[str, float] = {}
        for line in lines:
            at, event, _, task = line.split(" ", 3)
            if event == "start":
                began[task] = float(at)
            elif task in began:
                self[task] = began[task], float(at)

    def of(self, name: str, count: int) -> tuple[float, float]:
        return self[f"{name} #0"][0], self[f"{name} #{count - 1}"][1]


class Measured:
    """Of one contestant: durations by what and round trip time, and what passed at the longest of these."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, float], list[float]] = {}
        self.bytes: dict[str, tuple[int, int, int]] = {}

    def note(self, what: str, rtt: float, span: tuple[float, float], line: Line) -> None:
        self.seconds.setdefault((what, rtt), []).append(span[1] - span[0])
        self.bytes[what] = line.between(*span)

    def slope(self, what: str, rtts: list[float], items: int = 1) -> float:
        low, high = (statistics.median(self.seconds[what, rtt]) for rtt in rtts)
        return (high - low) / (rtts[1] - rtts[0]) / items


def plain_ssh(line: Line, inventory: Path, rtts: list[float], rounds: int) -> Measured:
    """`ssh host true`."""
    _, variables = first_host(inventory)
    found = dict(variable.split("=", 1) for variable in variables)
    arguments = found.get("ansible_ssh_common_args", "").strip("'\"").split()
    command = ["ssh", "-o", "StrictHostKeyChecking=no", *arguments, "-o", "ControlPath=none", "-p", str(line.port),
               "-i", found["ansible_ssh_private_key_file"], "-l", found["ansible_user"], "127.0.0.1", "true"]
    measured = Measured()
    for _ in range(rounds):
        for rtt in rtts:
            line.rtt = rtt
            started = time.monotonic()
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
            measured.note("true", rtt, (started, time.monotonic()), line)
    return measured


def far(inventory: Path, line: Line) -> str:
    """The host behind the line, by an account that is not root: `become` is one more account then."""
    variables = [variable.replace("ansible_user=root", "ansible_user=m_nopw") for variable in first_host(inventory)[1]]
    return "\n".join(["[targets]", f"far ansible_host=127.0.0.1 ansible_port={line.port}", "[targets:vars]",
                      *(variable for variable in variables if not variable.startswith("ansible_port=")), ""])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench trips", description=__doc__)
    parser.add_argument("--rtt", default="10,60", metavar="MS,MS", help="milliseconds")
    parser.add_argument("--rounds", type=int, default=1, metavar="N")
    parser.add_argument("--tasks", type=int, default=3, metavar="N", help="of each action")
    parser.add_argument("--items", type=int, default=10, metavar="N", help="of each loop")
    parser.add_argument("--actions", default=";".join(ACTIONS), metavar="LIST", help="separated by ;")
    parser.add_argument("--only", metavar="LIST", help="of stock,mitogen,strategy,connection")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    venv, hosts = Path(sys.prefix), Path(os.environ["MITOSIS_HOSTS"])
    asked, sides = choose(venv, arguments.only)
    rtts = sorted(int(text) / 1000 for text in arguments.rtt.split(","))
    actions = arguments.actions.split(";")
    address, _ = first_host(hosts / "inventory.ini")
    measured = {side.title: Measured() for side in sides}
    with tempfile.TemporaryDirectory(prefix="trips-") as folder, Line((address, 22)).running() as line:
        inventory = Path(folder, "inventory.ini")
        inventory.write_text(far(hosts / "inventory.ini", line))
        sources(Path(folder))
        bench = Bench(venv, inventory, os.environ["MITOSIS_COLLECTIONS"], 5)
        ssh = plain_ssh(line, hosts / "inventory.ini", rtts, arguments.rounds)
        for _ in range(arguments.rounds):
            for side in sides:
                for rtt in rtts:
                    line.rtt = rtt
                    run_one(bench, side, measured[side.title], actions, arguments, rtt, line, Path(folder))
    print(f"{machine()}; ansible-core {asked['ansible-core']}, Mitogen {asked['mitogen']}; round trips of "
          f"{arguments.rtt} ms\n")
    show(measured, ssh, actions, arguments, rtts)
    return 0


def run_one(bench: Bench, side: Contestant, measured: Measured, actions: list[str], arguments: argparse.Namespace,
            rtt: float, line: Line, folder: Path) -> None:
    record = folder / "durations"
    record.unlink(missing_ok=True)
    line.passed.clear()
    started = time.monotonic()
    bench.run(replace(side, arguments=[*side.arguments, "-e", f"bench_source={folder}"], environment={
        **side.environment, "ANSIBLE_SSH_ARGS": SSH_ARGS, "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "durations", "DURATIONS_FILE": str(record)}),
        play(actions, arguments.tasks, arguments.items))
    print(f"{side.title}, {1000 * rtt:.0f} ms: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    spans = Spans(record.read_text().splitlines())
    # Before the first task some connect already.
    measured.note("first", rtt, (started, spans["first"][1]), line)
    for name in actions:
        measured.note(name, rtt, spans.of(name, arguments.tasks), line)
        measured.note(f"loop {name}", rtt, spans[f"loop {name}"], line)


def show(measured: dict[str, Measured], ssh: Measured, actions: list[str], arguments: argparse.Namespace,
         rtts: list[float]) -> None:
    sides = list(measured.values())
    head = "".join(f" {title} | in a loop | bytes up | down |" for title in measured)
    print(f"Round trips of a task, of an item of a loop; bytes of a task\n\n| |{head}")
    print("|---|" + "---|---|---|---|" * len(sides))
    for name in actions:
        cells = []
        for side in sides:
            up, down, _ = (value // arguments.tasks for value in side.bytes[name])
            cells.append(f" {side.slope(name, rtts, arguments.tasks):.2f} | "
                         f"{side.slope(f'loop {name}', rtts, arguments.items):.2f} | {up} | {down} |")
        print(f"| {name} |{''.join(cells)}")
    print(f"\nSeconds of a loop of {arguments.items} items, with round trips of {arguments.rtt} ms\n")
    print(f"| |{''.join(f' {title} |' for title in measured)}\n|---|" + "---|" * len(sides))
    for name in actions:
        took = [[statistics.median(side.seconds[f"loop {name}", rtt]) for rtt in rtts] for side in sides]
        print(f"| {name} |{''.join(f' {low:.2f}, {high:.2f} |' for low, high in took)}")
    plain = ssh.slope("true", rtts)
    print(f"\nTo the end of the first command: round trips above `ssh host true` ({plain:.1f}), bytes up, down\n")
    print("| | above | bytes up | down |\n|---|---|---|---|")
    for title, side in measured.items():
        up, down, _ = side.bytes["first"]
        print(f"| {title} | {side.slope('first', rtts) - plain:.1f} | {up} | {down} |")


if __name__ == "__main__":
    exit_with("trips", main)
