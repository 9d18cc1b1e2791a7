"""Measures ours, stock Ansible with pipelining, and Mitogen side by side, in turns.  Started by `./dev bench`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tables
from runs import Bench, BenchError, Contestant, adopt_orphans, contestants
from works import WORKS

ASK = """
import importlib.metadata as m, importlib.util as u, json, platform
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
spec = u.find_spec('ansible_mitogen')
print(json.dumps({'python': platform.python_version(), 'ansible-core': version('ansible-core'),
                  'mitogen': version('mitogen'), 'folder': spec.submodule_search_locations[0] if spec else None}))
"""


def machine() -> str:
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{len(os.sched_getaffinity(0))} cores {model or platform.machine()}, Linux {platform.release()}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--works", metavar="LIST", default=",".join(WORKS),
                        help="; ".join(f"{work.name}: {work.text}" for work in WORKS.values()))
    parser.add_argument("--only", metavar="LIST", help="of stock,mitogen,strategy,connection")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--no-warm-up", action="store_true", help="one round less, to try things")
    parser.add_argument("--forks", type=int, default=20, metavar="N")
    parser.add_argument("--hosts", type=Path, default=os.environ.get("MITOSIS_HOSTS"), metavar="DIR",
                        help="of tests/hosts/hosts")
    parser.add_argument("--core", type=Path, default=Path(sys.prefix), metavar="VENV", help="with ansible-core")
    parser.add_argument("--collections", metavar="PATH",
                        default=os.environ.get("MITOSIS_COLLECTIONS") or os.environ.get("ANSIBLE_COLLECTIONS_PATH"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="source", help="show what --json wrote; run nothing")
    parser.add_argument("--markdown", action="store_true", help="one table for a README")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds must be at least 1")
    if not arguments.source and not (arguments.hosts and arguments.collections):
        parser.error("--hosts and --collections are needed")
    unknown = set(arguments.works.split(",")) - set(WORKS)
    if unknown:
        parser.error(f"no works {', '.join(sorted(unknown))}")
    return arguments


def choose(venv: Path, only: str | None) -> tuple[dict[str, Any], list[Contestant]]:
    """Versions of what is installed there, and those who run."""
    asked = json.loads(subprocess.run([venv / "bin" / "python", "-c", ASK], capture_output=True, check=True).stdout)
    found = contestants(Path(asked["folder"]) if asked["folder"] else None)
    if not only:
        return asked, list(found.values())
    missing = set(only.split(",")) - set(found)
    if missing:
        raise BenchError(f"not here: {', '.join(sorted(missing))}")
    return asked, [found[name] for name in only.split(",")]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    venv = arguments.core.resolve()
    asked, sides = choose(venv, arguments.only)
    inventory = arguments.hosts.resolve() / "inventory.ini"
    if not inventory.is_file():
        raise BenchError(f"no hosts are up in {arguments.hosts}")
    up = sum(line.startswith("t") and "ansible_host=" in line for line in inventory.read_text().splitlines())
    adopted = adopt_orphans()
    bench = Bench(venv, inventory, str(Path(arguments.collections).resolve()), arguments.forks)
    results: dict[str, Any] = {
        "machine": machine(),
        "versions": f"ansible-core {asked['ansible-core']}, Python {asked['python']}, Mitogen {asked['mitogen']}",
        "date": time.strftime("%Y-%m-%d"), "forks": arguments.forks,
        "warm_up": not arguments.no_warm_up,
        "cpu": "controller side, detached helpers included" if adopted else "controller side, detached helpers not "
               "included",
        "contestants": {side.name: side.title for side in sides}, "works": [],
    }
    for name in arguments.works.split(","):
        work = WORKS[name]
        if work.hosts > up:
            print(f"{work.text}: left out, it needs {work.hosts} hosts and {up} are up", file=sys.stderr)
            continue
        runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
        for number in range(arguments.no_warm_up, arguments.rounds + 1):
            for side in sides:
                run = bench.run(side, work)
                if number:
                    runs[side.name].append(run.as_dict())
                what = f"round {number}" if number else "warm-up"
                print(f"{work.name} {what}: {side.title} {run.wall:.2f} s", file=sys.stderr, flush=True)
        results["works"].append({"name": name, "text": work.text, "runs": runs})
    return results


def main() -> int:
    arguments = parse_arguments()
    try:
        if arguments.source:
            results = json.loads(arguments.source.read_text())
        else:
            load = os.getloadavg()[0]
            if load > 0.5:
                print(f"bench: this machine is busy (load {load:.1f}); times will be off", file=sys.stderr)
            results = measure(arguments)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(tables.markdown(results) if arguments.markdown else tables.text(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
