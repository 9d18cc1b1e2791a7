# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = """
name: selfcheck_verdict
author: Mitosis contributors (@mitosis-express)
short_description: Compare what the same tasks returned the stock way and accelerated
version_added: 0.1.0
description:
  - Compares two lists of results of M(mitosis.express.observe), after removing what differs from run to run anyway,
    such as times, process ids and names of temporary files.
positional: _input
options:
  _input:
    description: Results of the stock way.
    type: list
    elements: dict
    required: true
  ours:
    description: Results of the same tasks in the same order, accelerated.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = """
- name: Compare two registered loops
  ansible.builtin.debug:
    msg: "{{ stock.results | mitosis.express.selfcheck_verdict(ours=ours.results) }}"
"""

RETURN = """
_value:
  description:
    - C(same), C(accelerated) (false if no task was), C(ratio) (time of the stock way by ours), C(stock) and C(ours)
      (seconds), C(tasks), C(differences) (sentences) and C(text) (all of it in one sentence).
  type: dict
"""

import collections
import re
from collections.abc import Iterator
from typing import Any

# They differ between two runs of the same task.
VOLATILE = frozenset((
    'ansible_date_time', 'ansible_job_id', 'ansible_loadavg', 'atime', 'ctime', 'delta', 'deprecations', 'end',
    'exception', 'inode', 'mtime', 'results_file', 'start', 'started', 'warnings',
    # made from stderr and stdout
    'stderr_lines', 'stdout_lines',
    # environment: of a login, and the shell's last command
    '_', 'DBUS_SESSION_BUS_ADDRESS', 'SSH_AUTH_SOCK', 'SSH_CLIENT', 'SSH_CONNECTION', 'SSH_TTY', 'SUDO_COMMAND',
    'XDG_SESSION_ID'))
TEMPORARY = ((re.compile(r'ansible-tmp-[\d.]+-\d+-\d+'), 'ansible-tmp'),
             (re.compile(r'ansible-local-\w+'), 'ansible-local'),
             (re.compile(r'\btmp[a-z0-9_]{8}\b'), 'tmp'),
             (re.compile(r'ansible_[\w.]+_payload_\w+'), 'ansible_payload'),
             (re.compile(r'mitosis-selfcheck-(stock|ours)'), 'mitosis-selfcheck'),
             # ssh's remark at the end of a session with a terminal, which is there with ControlPersist only
             (re.compile(r'Shared connection to \S+ closed\.\r?\n?'), ''))
SHOWN = 5
REASONS = {
    'turned off': 'turned off (mitosis_enabled)',
    'without python': 'no usable Python was found on the host',
    'windows': 'Windows hosts are not accelerated',
    'unknown ansible-core': 'this ansible-core is newer or older than those that are known',
    'no multiplexer': 'the multiplexer could not be started',
    'unknown internals': "some internal of this ansible-core is not as expected",
}


class FilterModule:
    """The filter selfcheck_verdict."""

    def filters(self) -> dict[str, Any]:
        """Names of the filters here."""
        return {'selfcheck_verdict': verdict}


def scrubbed(value: Any) -> Any:
    """The same data without what differs from run to run."""
    if isinstance(value, dict):
        return {str(key): scrubbed(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [scrubbed(item) for item in value]
    if isinstance(value, str):
        for pattern, name in TEMPORARY:
            value = pattern.sub(name, value)
    return value


def differences(stock: Any, ours: Any, path: str = '') -> Iterator[str]:
    """A sentence on each place where two pieces of data differ."""
    if isinstance(stock, dict) and isinstance(ours, dict):
        for key in sorted(stock.keys() | ours.keys()):
            where = f'{path}.{key}' if path else key
            if key not in ours:
                yield f'{where} is missing, stock has {short(stock[key])}'
            elif key not in stock:
                yield f'{where} is {short(ours[key])}, stock has none'
            else:
                yield from differences(stock[key], ours[key], where)
    elif isinstance(stock, list) and isinstance(ours, list) and len(stock) == len(ours):
        for index, (one, other) in enumerate(zip(stock, ours, strict=True)):
            yield from differences(one, other, f'{path}[{index}]')
    elif type(plain(stock)) is not type(plain(ours)) or stock != ours:
        yield f'{path} is {short(ours)}, stock {short(stock)}'


def plain(value: Any) -> Any:
    """Without the subclasses in which Ansible keeps what it knows about a value."""
    kinds: tuple[Any, ...] = (bool, int, float, str, list, dict)
    for kind in kinds:
        if isinstance(value, kind):
            return kind(value)
    return value


def short(value: Any) -> str:
    """A value in few characters."""
    text = repr(plain(value))
    return text if len(text) <= 80 else text[:77] + '...'


def verdict(stock: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """The filter; see DOCUMENTATION."""
    found = []
    for number, (one, other) in enumerate(zip(stock, ours, strict=True), 1):
        name = name_of(other, number)
        found += [f'{name}: {text}' for text in differences(scrubbed(one['result']), scrubbed(other['result']))]
        if one.get('way') == '':
            found.append(f'{name}: could not be run the stock way')
    reasons = collections.Counter(str(item['way']) for item in ours if item.get('way') is not None)
    tasks = sum(reasons.values())
    fast = reasons.pop('', 0)
    times = [sum(item['seconds'] for item in items) for items in (stock, ours)]
    answer = {'same': not found, 'accelerated': fast > 0, 'tasks': len(ours), 'differences': found,
              'stock': round(times[0], 3), 'ours': round(times[1], 3),
              'ratio': round(times[0] / times[1], 2) if times[1] else 0.0}
    answer['text'] = '; '.join([speed(answer, fast, tasks, reasons), *failures(stock, ours), sameness(answer)])
    return answer


def name_of(item: dict[str, Any], number: int) -> str:
    """What a task is called in sentences."""
    loop_item = item.get('item')
    return str(loop_item['name']) if isinstance(loop_item, dict) and 'name' in loop_item else f'task {number}'


def speed(answer: dict[str, Any], fast: int, tasks: int, reasons: dict[str, int]) -> str:
    """Accelerated or not, and why."""
    why = ', '.join(f'{count} {REASONS.get(reason, reason)}' if len(reasons) > 1 else REASONS.get(reason, reason)
                    for reason, count in reasons.items())
    if not fast:
        return f'not accelerated: {why or "the connection had nothing to do"}'
    text = f'accelerated, {answer["ratio"]:.2f} times as fast ({answer["stock"]:.2f} s stock, {answer["ours"]:.2f} s)'
    return text + (f'; {tasks - fast} of {tasks} task runs were not: {why}' if why else '')


def failures(stock: list[dict[str, Any]], ours: list[dict[str, Any]]) -> Iterator[str]:
    """What went wrong both ways, which is a result like any other, unless it was not meant to."""
    bad = [other for one, other in zip(stock, ours, strict=True)
           if failed(one) and failed(other) and not (other.get('item') or {}).get('fails')]
    if bad:
        text = ' '.join(str(bad[0]['result'].get('msg', '')).split())
        yield f'{len(bad)} of {len(ours)} tasks failed both ways, first {name_of(bad[0], 0)} ({text[:200]})'


def failed(item: dict[str, Any]) -> bool:
    """Did the task that was observed fail?"""
    return bool(item['result'].get('failed') or item['result'].get('unreachable'))


def sameness(answer: dict[str, Any]) -> str:
    """Are the results equal?"""
    if answer['same']:
        return f'all {answer["tasks"]} results equal'
    found = answer['differences']
    more = f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    return 'RESULTS DIFFER: ' + '; '.join(found[:SHOWN]) + more
