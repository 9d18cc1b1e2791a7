"""What a module's run costs on a target, beyond the module: `command` by a context of this machine, against its own
main() called again and again in one warm interpreter; and the memory of the context's processes.  Started by
`./dev bench remote`."""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import module_loader
from ansible.template import Templar

from mitogen_core.wire.constants import ROOT
from tests.bench.bench import machine
from tests.support import collection
from tests.support.engine import DATE, Engine

# Calls main() as often as it is told, and prints what each call took.
WARM = """
import contextlib, json, os, sys, time
folder, layout, fqn, profile, params, count = sys.argv[1:]
sys.path.insert(0, folder)
from ansible.module_utils import basic
import runpy
def call():
    if layout == '2':
        from ansible.module_utils._internal._ansiballz import _loader
        _loader.run_module(json_params=params.encode(), profile=profile, module_fqn=fqn, modlib_path=folder,
                           extensions={})
    else:
        basic._ANSIBLE_ARGS = params.encode()
        runpy.run_module(mod_name=fqn, init_globals=dict(_module_fqn=fqn, _modlib_path=folder), run_name='__main__',
                         alter_sys=True)
out, took = os.dup(1), []
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
for _ in range(int(count)):
    started = time.perf_counter()
    with contextlib.suppress(SystemExit):
        call()
    sys.stdout.flush()
    took.append(time.perf_counter() - started)
os.write(out, json.dumps(took).encode())
"""


def payload(interpreter: str, module: str = "command", arguments: dict[str, Any] | None = None, path: str = "") -> Any:
    """A module, by default `command: hostname`, as ansible-core builds it."""
    ansiballz = collection.load("plugins.plugin_utils._compat.ansiballz")
    variables = {"ansible_python_interpreter": interpreter}
    bits = modify_module(module_name=f"ansible.legacy.{module}",
                         module_path=path or module_loader.find_plugin(module, ".py"),
                         module_args={**(arguments or {"_raw_params": "hostname"}), "_ansible_remote_tmp": "/tmp"},
                         templar=Templar(loader=DataLoader(), variables=variables), task_vars=variables)
    return ansiballz, ansiballz.parse(bits[0] if isinstance(bits, tuple) else bits.b_module_data)


def warm(interpreter: str, made: Any, folder: str, count: int) -> list[float]:
    with zipfile.ZipFile(io.BytesIO(b64decode(made.zip_data))) as archive:
        archive.extractall(folder)
    arguments = [folder, str(made.layout), made.fqn, made.profile, made.params, str(count)]
    done = subprocess.run([interpreter, "-c", WARM, *arguments], check=True, capture_output=True, timeout=120)
    return [float(each) for each in json.loads(done.stdout)]


def arguments_of(made: Any, context: int, isolation: str) -> dict[str, Any]:
    """Of modules.run, for a payload that `payload` made."""
    return {"payload": made.key, "context": context, "layout": made.layout, "name": made.name, "fqn": made.fqn,
            "profile": made.profile, "date_time": DATE, "rlimit_nofile": 0, "env": None, "interpreter": "",
            "cwd": None, "isolation": isolation}


def runs(engine: Engine, context: int, made: Any, files: Any, count: int, isolation: str) -> list[float]:
    """Seconds from a client's request to its answer."""
    engine.define(files, payload=made.key)
    took = []
    for _ in range(count):
        args = arguments_of(made, context, isolation)
        started = time.perf_counter()
        head, out = engine.client.call(ROOT, "modules", "run", args, made.params.encode(), timeout=60)
        took.append(time.perf_counter() - started)
        assert head["rc"] == 0, out
    return took


def memory(pid: int) -> list[tuple[int, int]]:
    """(RSS, PSS) in kB of a process and all below it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [(found["Rss"], found["Pss"]), *(each for child in children for each in memory(int(child)))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench remote", description=__doc__)
    parser.add_argument("--python", default="/usr/bin/python3", help="of the context")
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    ansiballz, made = payload(arguments.python)
    files = collection.load("plugins.plugin_utils._modules").Closure(ansiballz.unzip(made.zip_data))
    with tempfile.TemporaryDirectory(prefix="remote-") as folder:
        engine = Engine(Path(folder), f"bench-{os.getpid()}")
        try:
            context = engine.local(arguments.python)
            took: dict[str, list[float]] = {"main()": [], "inline": [], "fork": []}
            for _ in range(3):
                took["main()"] += warm(arguments.python, made, f"{folder}/files", arguments.count)[5:]
                took["inline"] += runs(engine, context, made, files, arguments.count, "inline")[5:]
                if not took["fork"]:
                    used = memory(engine.pid_of(context))
            took["fork"] += runs(engine, context, made, files, arguments.count, "fork")[5:]
        finally:
            engine.stop()
    base = statistics.median(took["main()"])
    print(f"{machine()}; `command: hostname`, {arguments.python}; medians, from a client's request to its answer\n")
    print("| | ms | of main() |\n|---|---|---|")
    for what, seconds in took.items():
        print(f"| {what} | {1000 * statistics.median(seconds):.1f} | {statistics.median(seconds) / base:.2f} |")
    print(f"\nProcesses of the context: {len(used)}; RSS {sum(rss for rss, _ in used) // 1024} MB, each by itself; PSS "
          f"{sum(pss for _, pss in used) // 1024} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
