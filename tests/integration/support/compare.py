"""What two runs of the contract may differ in: the passage of time, and docs/differences.md."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any

# Results: values that are of one moment or one process.
MOMENTS = {'start', 'end', 'delta', 'atime', 'mtime', 'ctime', 'inode', 'dev', 'ansible_job_id', 'results_file',
           'elapsed', 'pid', 'ppid', 'child_pid', 'attempts_left', 'birthtime'}
# Facts of that kind.
FACTS = {'ansible_date_time', 'date_time', 'ansible_uptime_seconds', 'uptime_seconds', 'ansible_loadavg', 'loadavg',
         'ansible_memfree_mb', 'memfree_mb', 'ansible_memory_mb', 'memory_mb', 'ansible_mounts', 'mounts',
         'ansible_swapfree_mb', 'swapfree_mb', 'ansible_processor_nproc'}
# Facts that are lists of no order.
SETS = {'ansible_interfaces', 'ansible_virtualization_tech_guest', 'ansible_virtualization_tech_host'}
# Texts with such values in them.
TEXTS = [
    (r'ansible-tmp-[\d.]+-\d+-\d+', 'ansible-tmp-*'),
    (r'ansible-moduletmp-[\w.-]+', 'ansible-moduletmp-*'),
    (r'ansible-local-\w+(/\.\w{8}\b)?', 'ansible-local-*'),
    # Content of a task on its way, by name alone.
    (r'^\.\w{8}$', '*tmp*'),
    (r'("_original_basename": ")\.\w{8}"', r'\1*tmp*"'),
    # A host's own network card and ssh connection.
    (r'([0-9a-f]{2}:){5}[0-9a-f]{2}|fe80::[0-9a-f:]+', 'CARD'),
    (r'(?<=NETWORK\.254 )\d+', 'PORT'),
    (r'(?<=BECOME-SUCCESS-)\w+', '*'),
    (r'(?<=contract\.)\w+(?=\.temp)', '*'),
    (r'\.ansible_tmp[\w.]+|\btmp\w{8}\b|/\.source\.[\w.]*', '*tmp*'),
    (r'\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~', '.backup~'),
    (r'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?', 'TIME'),
    (r'j\d{9,}\.\d+', 'JOB'),
    (r'/tmp/ansible_[\w.]+(/(\w+\.zip)?|$)', '/tmp/ansible_payload/'),
    (r'Elapsed|elapsed: \d+', 'elapsed'),
    (r'\bpid \d+', 'pid N'),
    (r'\bat 0x[0-9a-f]+', 'at ADDRESS'),
    # What is above a module is of different depth.
    (r'(?<=Previous line repeated )\d+', 'N'),
    (r'(?<=Paused for )[\d.]+', 'N'),
    # Of a traceback, what is in the module and below: what is above is ansible-core's wrapper, or ours.
    (r'  File "(?!/tmp/ansible_payload)[^\n]*\n(    [^\n]*\n)*', ''),
    # Lines of source stand there or not, by the Python and by how ansible-core imported it.
    (r'(  File "/tmp/ansible_payload[^\n]*\n)(    [^\n]*\n)+', r'\1'),
]


def normal(value: Any, own: list[tuple[str, str]]) -> Any:
    """`value` without what differs between any two runs.  `own`: (text, name) of what is a run's own."""
    if isinstance(value, dict):
        return {key: f'<{key}>' if key in MOMENTS or key in FACTS else
                sorted(item) if key in SETS else normal(item, own) for key, item in value.items()}
    if isinstance(value, list):
        return [normal(item, own) for item in value]
    if isinstance(value, str):
        for text, name in own:
            value = value.replace(text, name)
        for pattern, name in TEXTS:
            value = re.sub(pattern, name, value)
    return value


def by_host(records: list[dict[str, Any]], own: list[tuple[str, str]]) -> dict[str, list[dict[str, Any]]]:
    """host -> its records, normal, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(record['host'], []).append(normal(record, own))
    return found


def differences(left: Any, right: Any, path: str = '') -> list[str]:
    """Where two values differ: 'path: left | right'."""
    if isinstance(left, dict) and isinstance(right, dict):
        return [line for key in sorted({*left, *right}, key=str)
                for line in differences(left.get(key, '(missing)'), right.get(key, '(missing)'), f'{path}.{key}')]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [line for index, pair in enumerate(zip(left, right, strict=True))
                for line in differences(*pair, f'{path}[{index}]')]
    if left == right:
        return []
    return [f'{path.lstrip(".")}: {short(left)} | {short(right)}']


def short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) < 1500 else f'{text[:700]} ... {text[-700:]}'


def aligned(left: list[dict[str, Any]], right: list[dict[str, Any]]) -> list[str]:
    """Differences of two lists of records that should be of the same tasks."""
    found = []
    names = [[record['task'] for record in records] for records in (left, right)]
    for kind, a, b, c, d in difflib.SequenceMatcher(a=names[0], b=names[1], autojunk=False).get_opcodes():
        if kind != 'equal':
            found.append(f'events: {short(left[a:b])} | {short(right[c:d])}')
            continue
        for one, two in zip(left[a:b], right[c:d], strict=True):
            if one['event'] != two['event']:
                found.append(f'{one["task"]}: {short(one)} | {short(two)}')
            else:
                event = ' '.join(word for word in (one['event'], one['result'].get('item')) if isinstance(word, str))
                found += [f'{one["task"]} ({event}): {line}' for line in differences(one['result'], two['result'])]
    return found
