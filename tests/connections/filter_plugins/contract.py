# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What contract.yml says of its results: those parts of them that are the same in each run."""

from __future__ import annotations

import re
from typing import Any

# Of one moment, one process or one file.
MOMENTS = {'start', 'end', 'delta', 'atime', 'mtime', 'ctime', 'birthtime', 'inode', 'dev', 'ansible_job_id',
           'results_file', 'elapsed', 'pid', 'ppid', 'child_pid', 'attempts', 'version', 'device_type', 'disk_usage',
           'blocks'}
# Large texts would hide the rest.
LONGEST = 2000
TEXTS = [
    (r'ansible-tmp-[\d.]+-\d+-\d+', 'ansible-tmp-*'),
    (r'ansible-local-\w+(/\.?\w{8}\b)?', 'ansible-local-*'),
    (r'\bj?\d{9,}\.\d+', 'JOB'),
    (r'/tmp/ansible_[\w.]+', '/tmp/ansible_*'),
    (r'(?<=/)\.source\.[\w.]*|\.ansible_tmp[\w.]+|\btmp\w{8}\b|^\.\w{8}$', '*tmp*'),
    (r'(?<=BECOME-SUCCESS-)\w+', '*'),
    # The client of a pod tells of an exit code on stderr, which is nobody's but its own.
    (r'command terminated with exit code \d+\r?\n?', ''),
    (r'Shared connection to \S+ closed\.\r?\n?', ''),
]


def stable(value: Any, own: dict[str, str]) -> Any:
    """`value` without what differs between any two runs.  `own`: texts of one run, and what to call them."""
    if isinstance(value, dict):
        return {str(key): stable(item, own) for key, item in value.items() if key not in MOMENTS}
    if isinstance(value, (list, tuple)):
        items = [(item, stable(item, own)) for item in value]
        # A line that was nothing but noise is none.
        return [new for old, new in items if new != '' or old == '']
    if isinstance(value, str):
        text = str(value)
        for word, name in own.items():
            text = text.replace(word, name) if word else text
        for pattern, name in TEXTS:
            text = re.sub(pattern, name, text)
        return text if len(text) <= LONGEST else f'{text[:60]}... {len(text)} characters'
    return value


def failures(results: dict[str, Any]) -> list[str]:
    """The names of those results that are failures, or of unreachable hosts."""
    return sorted(name for name, result in results.items()
                  if isinstance(result, dict) and (result.get('failed') or result.get('unreachable')))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Any]:
        return {'contract_stable': stable, 'contract_failures': failures}
