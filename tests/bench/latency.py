"""How long a `ping` takes on a link that carries a large copy at the same time, against an idle link: ours, stock
Ansible with pipelining, and Mitogen, in turns.  Two names of one host, strategy `free`.  Then the memory
that each of these copies takes, here and on the target.  Started by
`./dev bench latency`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import choose, machine
from memory import Curve, watched
from runs import HERE, Bench, Contestant, exit_with, first_host
from works import Work

PINGS = 60


def play(size: int) -> Work:
    """Pings on one name of the host, and the copy, unless it is of no size, on the other."""
    pings = [{"name": f"ping {n}", "ansible.builtin.ping": {}} for n in range(PINGS)]
    copy = [{"name": "warm", "ansible.builtin.ping": {}},
            {"name": "copy", "ansible.builtin.copy": {"src": "{{ bench_large }}", "dest": "/tmp/mitosis-bench-large"}},
            {"name": "remove", "ansible.builtin.file": {"path": "/tmp/mitosis-bench-large", "state": "absent"}}]

    class Both(Work):
        @property
        def playbook(self) -> str:
            tasks = [{"block": pings, "when": "inventory_hostname == 'ping'"}]
            if size:
                tasks.insert(0, {"block": copy, "when": "inventory_hostname == 'copy'"})
            return json.dumps([{"hosts": "ping,copy" if size else "ping", "gather_facts": False,
                                "strategy": "{{ free }}", "tasks": tasks}])
    return Both("latency", f"pings, and a copy of {size} MB", 2 if size else 1, [], -1)


def seconds(lines: list[str], size: int) -> list[float]:
    """What each ping took; with a copy, of those that lie within it."""
    began, spans = {}, {}
    for line in lines:
        at, event, host, task = line.split(" ", 3)
        if event == "start":
            began[host, task] = float(at)
        elif (host, task) in began:
            spans[host, task] = began[host, task], float(at)
    pings = [span for (host, task), span in spans.items() if host == "ping" and task.startswith("ping")]
    if size:
        start, end = spans["copy", "copy"]
        pings = [span for span in pings if start <= span[0] and span[1] <= end]
    return [end - start for start, end in pings[2 if not size else 0:]]


def free(contestant: Contestant) -> Contestant:
    """The same with the strategy `free`."""
    name = {"mitogen": "mitogen_free", "strategy": "mitosis.express.free"}.get(contestant.name, "free")
    return replace(contestant, arguments=[*contestant.arguments, "-e", f"free={name}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench latency", description=__doc__)
    parser.add_argument("--size", type=int, default=1000, metavar="MB")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--only", metavar="LIST", help="of stock,mitogen,strategy,connection")
    arguments = parser.parse_args()
    venv, hosts = Path(sys.prefix), Path(os.environ["MITOSIS_HOSTS"])
    asked, sides = choose(venv, arguments.only)
    chosen = [free(side) for side in sides]
    took: dict[tuple[str, int], list[float]] = {}
    curves: dict[str, list[Curve]] = {}
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        large, inventory = Path(folder, "large"), Path(folder, "inventory.ini")
        with large.open("wb") as file:
            for _ in range(arguments.size):
                file.write(os.urandom(1 << 20))
        inventory.write_text(two_names(hosts / "inventory.ini"))
        bench = Bench(venv, inventory, os.environ["MITOSIS_COLLECTIONS"], 5)
        for number in range(arguments.rounds):
            for side in chosen:
                for size in (0, arguments.size):
                    record = Path(folder, "durations")
                    record.unlink(missing_ok=True)
                    run = replace(side, arguments=[*side.arguments, "-e", f"bench_large={large}"], environment={
                        **side.environment, "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
                        "ANSIBLE_CALLBACKS_ENABLED": "durations", "DURATIONS_FILE": str(record)})
                    with watched() if size else contextlib.nullcontext() as curve:
                        bench.run(run, play(size))
                    if curve:
                        curves.setdefault(side.title, []).append(curve)
                    found = seconds(record.read_text().splitlines(), size)
                    took.setdefault((side.title, size), []).extend(found)
                    what = f"round {number + 1}: {side.title}, copy of {size} MB: {len(found)} pings"
                    print(what, file=sys.stderr, flush=True)
    print(f"{machine()}; ansible-core {asked['ansible-core']}, Mitogen {asked['mitogen']}; a ping, milliseconds\n")
    print(f"| | idle, median | during a copy of {arguments.size} MB, median | highest | ratio | pings |")
    print("|---|---|---|---|---|---|")
    for side in chosen:
        idle, busy = took[side.title, 0], took[side.title, arguments.size]
        if not busy:
            print(f"| {side.title} | {1000 * statistics.median(idle):.0f} | none ended within it | - | - | 0 |")
            continue
        ratio = statistics.median(busy) / statistics.median(idle)
        print(f"| {side.title} | {1000 * statistics.median(idle):.0f} | {1000 * statistics.median(busy):.0f} | "
              f"{1000 * max(busy):.0f} | {ratio:.2f} | {len(busy)} |")
    print(f"\nMegabytes during a copy of {arguments.size} MB: the highest, and of each tenth of the last run\n")
    print("| | controller | target | controller, by tenths | target, by tenths |\n|---|---|---|---|---|")
    for side in chosen:
        runs = curves[side.title]
        peaks = [max(curve.peaks()[at] for curve in runs) for at in (0, 1)]
        by_tenths = [" ".join(f"{megabytes:.0f}" for megabytes in runs[-1].tenths(at)) for at in (1, 2)]
        print(f"| {side.title} | {peaks[0]:.0f} | {peaks[1]:.0f} | {by_tenths[0]} | {by_tenths[1]} |")
    return 0


def two_names(inventory: Path) -> str:
    """The first host of an inventory by two names."""
    address, variables = first_host(inventory)
    lines = [f"ping ansible_host={address}", f"copy ansible_host={address}", "[targets:vars]", *variables, ""]
    return "\n".join(["[targets]", *lines])


if __name__ == "__main__":
    exit_with("latency", main)
