"""What play.yml's tasks give where nothing goes wrong, by task; and what is wrong with what a run says."""

from __future__ import annotations

import base64
import collections
import hashlib
import pathlib
import random
from collections.abc import Callable
from typing import Any

BIG = random.Random(7).randbytes(200_000)
PAGE = 'page of {{ inventory_hostname }}\n' * 1000
DUMP = ''.join(f' {" ".join(f"{byte:02x}" for byte in BIG[at:at + 16])}\n' for at in range(0, len(BIG), 16))[:100_000]
ITEMS = ('one', 'two', 'three')
# Events of each host, items of the loop included.
EVENTS = 15
Result = dict[str, Any]


def write_files(folder: pathlib.Path) -> None:
    """What the tasks copy."""
    folder.mkdir(exist_ok=True)
    (folder / 'big').write_bytes(BIG)
    (folder / 'page.j2').write_text(PAGE)


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def page(host: str) -> bytes:
    return PAGE.replace('{{ inventory_hostname }}', host).encode()


class Known:
    """`account`: whom tasks become; `fetched`: the folder of fetched files."""

    def __init__(self, account: str, fetched: pathlib.Path) -> None:
        self._fetched = fetched
        self._lost: collections.Counter[str] = collections.Counter()
        self.tasks: dict[str, Callable[[str, Result], bool]] = {
            'folder': lambda host, result: result['state'] == 'directory' and result['changed'],
            'copy': lambda host, result: result['changed'] and result['checksum'] == sha1(BIG)
            and result['size'] == len(BIG),
            'template': lambda host, result: result['changed'] and result['checksum'] == sha1(page(host)),
            'slow': lambda host, result: said(result, f'slow on {host}'),
            'loop': self._loop,
            'much': lambda host, result: result['rc'] == 0 and result['stdout'].strip() == DUMP.strip(),
            'slurp': lambda host, result: base64.b64decode(result['content']) == page(host),
            'job': lambda host, result: said(result, f'4\njob on {host}'),
            'fetch': self._fetch,
            'become': lambda host, result: said(result, account),
            'append': lambda host, result: said(result, '5'),
            'removal': lambda host, result: result['changed'] and result['state'] == 'absent',
        }

    def _loop(self, host: str, result: Result) -> bool:
        wanted = [f'{number}\n{item}' for number, item in enumerate(ITEMS, 1)]
        if 'results' in result:
            return [each['stdout'] for each in result['results']] == wanted
        # A loop goes on after an item that was lost, as stock's does, and that may have run or not.
        number = ITEMS.index(result['item']) + 1
        return any(said(result, f'{number - less}\n{result["item"]}') for less in range(self._lost[host] + 1))

    def _fetch(self, host: str, result: Result) -> bool:
        return bool(result['checksum'] == sha1(BIG)) and (self._fetched / host).read_bytes() == BIG

    def lies(self, records: list[Result]) -> list[str]:
        """What of these events of a run tells of success and is not right."""
        self._lost.clear()
        return [lie for lie in map(self._lie, records) if lie]

    def _lie(self, record: Result) -> str:
        if record['event'] == 'item failed':
            self._lost[record['host']] += 1
        if record['event'] not in ('ok', 'item ok'):
            return ''
        try:
            right = self.tasks[record['task']](record['host'], record['result'])
        except (KeyError, ValueError, OSError, TypeError) as e:
            return f'{record["task"]} on {record["host"]}: {type(e).__name__}: {e} in {record["result"]!r:.500}'
        return '' if right else f'{record["task"]} on {record["host"]}: {record["result"]!r:.500}'

    def missing(self, host: str, records: list[Result]) -> list[str]:
        """Tasks that did not go well on a host."""
        went_well = {record['task'] for record in records if record['host'] == host and record['event'] == 'ok'}
        return [name for name in self.tasks if name not in went_well]


def said(result: Result, text: str) -> bool:
    return bool(result['rc'] == 0 and result['stdout'] == text)
