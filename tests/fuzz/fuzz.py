"""Fuzzes parsers with atheris: ./dev fuzz [TARGET...] [--runs N] [--seconds N] [--jobs N]

Each target (targets.py) gets a process of its own, which begins with the target's seeds, made by code, and what was
found before.  An input may take SECONDS and the process MEGABYTES; what needs more is a finding, as is any error that
the target does not allow.  Prints for each target: executions, executions a second, edges that were covered, findings.
Findings are left in the folder, by their target's name, and make the exit code 1.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES, LONGEST = 10, 768, 4096
NUMBERS = {'runs': rb'stat::number_of_executed_units:\s*(\d+)', 'rate': rb'stat::average_exec_per_sec:\s*(\d+)',
           'peak': rb'stat::peak_rss_mb:\s*(\d+)'}
EDGES = re.compile(rb'\bcov: (\d+)')


@dataclass
class Outcome:
    """Of one target."""

    runs: int
    rate: int
    edges: int
    peak: int
    findings: list[pathlib.Path]
    said: bytes


def fuzz(name: str, folder: pathlib.Path, runs: int, seconds: int) -> Outcome:
    """Run one target to its end, or to a finding."""
    corpus, found = folder / 'corpus' / name, folder / 'findings' / name
    for path in (corpus, found):
        path.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    begin = time.monotonic()
    argv = [sys.executable, __file__, '--one', name, str(corpus), f'-runs={runs}', f'-max_total_time={seconds}',
            f'-timeout={SECONDS}', f'-rss_limit_mb={MEGABYTES}', f'-max_len={LONGEST}', '-print_final_stats=1',
            f'-artifact_prefix={found}/']
    with tempfile.TemporaryDirectory() as temporary:  # libFuzzer ends without any tidying up
        said = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env=dict(os.environ, TMPDIR=temporary))
    numbers = {key: int(match[1]) if (match := re.search(pattern, said.stdout)) else 0
               for key, pattern in NUMBERS.items()}
    edges = max(map(int, EDGES.findall(said.stdout)), default=0)
    new = sorted(set(found.iterdir()) - before)
    if said.returncode and not new:  # it did not even begin, or ended by itself
        new = [found / f'exit-code-{said.returncode}']
        new[0].write_bytes(said.stdout)
    rate = numbers['rate'] or int(numbers['runs'] / max(time.monotonic() - begin, 1))
    return Outcome(numbers['runs'], rate, edges, numbers['peak'], new, said.stdout)


def one(name: str, arguments: list[str]) -> None:
    """Become libFuzzer, for one target; never returns."""
    import atheris
    sys.path.insert(0, str(ROOT))
    import tests.support.own_ansible  # noqa: F401
    with atheris.instrument_imports(include=['mitogen_core']):
        from tests.fuzz.targets import TARGETS
        target = TARGETS[name]
        seeds = list(target.seeds())
        for seed in seeds:  # imports what comes late
            target.run(seed)
    # Ansible's loader imports collections by itself.
    for module in [module for name, module in sys.modules.items() if name.startswith('ansible_collections.mitosis.')]:
        for holder in (module, *(value for value in vars(module).values() if isinstance(value, type))):
            for value in list(vars(holder).values()):
                if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                    atheris.instrument_func(value)
    corpus = pathlib.Path(arguments[0])
    for number, seed in enumerate(seeds):
        (corpus / f'seed-{number}').write_bytes(seed)
    atheris.Setup([sys.argv[0], *arguments], target.run)
    atheris.Fuzz()


def main() -> int:
    if sys.argv[1:2] == ['--one']:
        one(sys.argv[2], sys.argv[3:])
    sys.path.insert(0, str(ROOT))
    import tests.support.own_ansible  # noqa: F401
    from tests.fuzz.targets import TARGETS
    parser = argparse.ArgumentParser(prog='./dev fuzz', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('targets', nargs='*', metavar='TARGET', help=', '.join(TARGETS))
    parser.add_argument('--runs', type=int, default=20_000, help='executions of each target (default: 20000)')
    parser.add_argument('--seconds', type=int, default=0, help='at most so long for each target (default: no limit)')
    parser.add_argument('--jobs', type=int, default=1, help='targets at the same time (default: 1)')
    parser.add_argument('--folder', type=pathlib.Path, default=ROOT / '.dev' / 'fuzz', help='corpus and findings')
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f'no such target: {", ".join(sorted(unknown))}')
    print(f'Python {sys.version.split()[0]}; {SECONDS} s and {MEGABYTES} MB for an input of {LONGEST} bytes')
    print(f'{"target":16}{"executions":>12}{"a second":>10}{"edges":>7}{"MB":>5}  findings', flush=True)
    names = options.targets or list(TARGETS)
    total = findings = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        outcomes = pool.map(lambda name: fuzz(name, options.folder, options.runs, options.seconds), names)
        for name, outcome in zip(names, outcomes, strict=True):
            what = ', '.join(map(str, outcome.findings)) or 'none'
            print(f'{name:16}{outcome.runs:>12,}{outcome.rate:>10,}{outcome.edges:>7}{outcome.peak:>5}  {what}',
                  flush=True)
            if outcome.findings:
                print('\n'.join(outcome.said.decode('utf-8', 'replace').splitlines()[-40:]), file=sys.stderr)
            total += outcome.runs
            findings += len(outcome.findings)
    print(f'{"all":16}{total:>12,}{"":22}  {findings or "none"}')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
