"""Runs one playbook over real ssh, stock (with pipelining) and ours in turns, and prints both times.

Started by `./dev demo`. Both sides get the same inventory, the same Python and the same empty configuration, and
stock keeps its ssh connections (ControlPersist) from one round to the next.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOSTS = HERE.parent / "hosts" / "hosts"
RECAP = re.compile(r"^(\S+)\s+: (ok=\d+\s.*)$", re.MULTILINE)
TIMEOUT = 300


class DemoError(Exception):
    pass


@dataclass
class Side:
    name: str
    environment: dict[str, str]
    arguments: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    recaps: list[dict[str, str]] = field(default_factory=list)
    output: str = ""

    def run(self, inventory: Path, home: Path) -> None:
        playbook = Path(sys.executable).with_name("ansible-playbook")
        command = [str(playbook), "-i", str(inventory), "-e", f"webserver_parent={home}/targets", *self.arguments]
        command.append(str(HERE / "playbook.yml"))
        started = time.monotonic()
        try:
            done = subprocess.run(
                command,
                env=clean_environment(home) | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as expired:
            raise DemoError(f"{self.name}: not done after {TIMEOUT} s") from expired
        self.times.append(time.monotonic() - started)
        self.output = done.stdout
        self.recaps.append({host: " ".join(counts.split()) for host, counts in RECAP.findall(done.stdout)})
        if done.returncode:
            raise DemoError(f"{self.name}: ansible-playbook ended with {done.returncode}\n{done.stdout[-4000:]}")

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def clean_environment(home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    return kept | {
        "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),
        "ANSIBLE_COLLECTIONS_PATH": os.environ["MITOSIS_COLLECTIONS"],
        # In loopback mode this machine is the target: what an interrupted run leaves goes away with `home`.
        "ANSIBLE_REMOTE_TMP": str(home / "remote"),
        "ANSIBLE_NOCOLOR": "1",
    }


def end_ssh_masters(home: Path) -> None:
    for socket in (home / "cp").glob("*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "none"], capture_output=True, timeout=10)


def measure(sides: list[Side], rounds: int, inventory: Path) -> None:
    # A short path: ssh puts its ControlPath, a socket of at most 108 bytes, below it.
    home = Path(tempfile.mkdtemp(prefix="mitosis-demo-", dir="/tmp"))
    (home / "ansible.cfg").touch()
    try:
        for number in range(1, rounds + 1):
            for side in sides:
                print(f"round {number}: {side.name} ...", end=" ", flush=True)
                side.run(inventory, home)
                print(f"{side.times[-1]:.2f} s", flush=True)
    finally:
        end_ssh_masters(home)
        shutil.rmtree(home, ignore_errors=True)


def check_recaps(sides: list[Side]) -> None:
    expected = sides[0].recaps[0]
    if not expected:
        raise DemoError("the playbook ran on no host")
    for side in sides:
        for recap in side.recaps:
            if recap != expected:
                raise DemoError(f"results differ:\n  {sides[0].name}: {expected}\n  {side.name}: {recap}")


def report(stock: Side, ours: Side) -> None:
    width = max(len(stock.name), len(ours.name))
    print(f"\n{'':{width}}  {'median':>9}   each round")
    for side in (stock, ours):
        rounds = "  ".join(f"{seconds:.2f}" for seconds in side.times)
        print(f"{side.name:{width}}  {side.median:7.2f} s   {rounds}")
    print(f"\nratio: {stock.median / ours.median:.2f} (stock's time / ours)")
    recap = stock.recaps[0]
    print("same results:")
    for host, counts in recap.items():
        print(f"  {host}  {counts}")
    for line in ours.output.splitlines():
        if "task runs accelerated" in line:
            print(line.strip())


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev demo", description="One playbook over real ssh, stock and ours.")
    parser.add_argument("--connection", action="store_true", help="ours by the connection plugin only, no strategy")
    parser.add_argument("--hosts", type=int, default=3, metavar="N")
    parser.add_argument("--rounds", type=int, default=2, metavar="N")
    parser.add_argument("--mode", default="auto", choices=["auto", "netns", "loopback"], help="kind of the hosts")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    stock = Side("stock, pipelining", {"ANSIBLE_PIPELINING": "True"})
    if arguments.connection:
        ours = Side("mitosis.express.ssh", {}, ["-e", "ansible_connection=mitosis.express.ssh"])
    else:
        ours = Side("mitosis.express.linear", {"ANSIBLE_STRATEGY": "mitosis.express.linear", "MITOSIS_SUMMARY": "1"})
    folder = Path(os.environ["MITOSIS_HOSTS"])
    hosts = [str(HOSTS)]
    try:
        subprocess.run([*hosts, "up", str(arguments.hosts), "--mode", arguments.mode], check=True)
        measure([stock, ours], arguments.rounds, folder / "inventory.ini")
        check_recaps([stock, ours])
    except subprocess.CalledProcessError:
        return 1
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    finally:
        subprocess.run([*hosts, "down"])
    report(stock, ours)
    return 0


if __name__ == "__main__":
    sys.exit(main())
