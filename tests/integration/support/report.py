"""docs/bad-input.md: what each bad input printed, in a real run."""

from __future__ import annotations

import os
import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[3] / 'docs' / 'bad-input.md'
HEAD = '''# Bad input, and what it prints

Written by `MITOSIS_WRITE_DOCS=1 ./dev test integration -k bad` from a run of ansible-core {core} under the strategy
`mitosis.express.linear`. Addresses, paths and times are replaced. After each of these, no process and no file of ours is
left on either side, the exit code is not 0 unless it says so, and the next task or run works: the tests check that.
'''
SCRUBBED = [
    (r'10\.213\.\d+\.\d+', 'ADDRESS'),
    (r'/\S*/(?=changed\b|none\b|other_key\b)', '/FOLDER/'),
    (r'pid \d+', 'pid N'),
    (r'SHA256:[\w+/]+', 'SHA256:...'),
    (r'\d+\.\d+ s\b', 'N s'),
]
_entries: dict[str, list[str]] = {}
_core = ''


def note(section: str, name: str, text: str, core: str) -> None:
    """One bad input and what it printed, for the page."""
    global _core
    _core = core
    for pattern, word in SCRUBBED:
        text = re.sub(pattern, word, text)
    text = text.replace('\r', '').strip()
    quoted = '\n'.join('    ' + line for line in text.split('\n'))
    _entries.setdefault(section, []).append(f'{name}:\n\n{quoted}\n')


def write() -> None:
    """Write the page, if that is wished and anything was noted."""
    if os.environ.get('MITOSIS_WRITE_DOCS') and _entries:
        parts = [HEAD.format(core=_core)]
        for section, entries in _entries.items():
            parts += [f'## {section}\n', *entries]
        PAGE.write_text('\n'.join(parts))
