"""Recognises the command line by which ActionBase._execute_module starts async_wrapper on a module that it has copied.

2.16-2.20: `[ENVIRONMENT] PYTHON async_wrapper JID LIMIT MODULE _ [-preserve_tmp]`; `_`: no file of arguments.
2.21:      `[ENVIRONMENT] PYTHON async_wrapper JID LIMIT true|false MODULE PYTHON MODULE`, quoted.

What async_wrapper answers, and when it ends a module, is told in its own words: 0 and 1 until 2.18, then booleans; the
command of a module without a result is its path alone until 2.20.
"""

from __future__ import annotations

import os
import shlex

from . import ansiballz, core_version

# What the files are called that `_execute_module` copies.
NAMES = ('AnsiballZ_', 'async_wrapper')
WRAPPER = 'ansible.modules.async_wrapper'
MAX_NOTES = 8


class Sent:
    """Module files that a connection has copied, by their path on the target."""

    def __init__(self) -> None:
        self.payloads: dict[str, tuple[ansiballz.Payload, str]] = {}

    def note(self, source: str, path: str) -> None:
        """`source` was copied to `path`."""
        self.payloads.pop(path, None)
        if not os.path.basename(path).startswith(NAMES) or not os.path.isfile(source):
            return
        with open(source, 'rb') as file:
            data = file.read()
        payload = ansiballz.parse(data)
        first = data.partition(b'\n')[0]
        if payload and first.startswith(b'#!'):
            while len(self.payloads) >= MAX_NOTES:
                del self.payloads[next(iter(self.payloads))]
            self.payloads[path] = payload, first[2:].decode('utf-8', 'replace').strip()


def parse(command: str, sent: Sent, environments: dict[str, dict[str, str]]) -> ansiballz.ModuleRun | None:
    """What `command` starts, if all of it is known; `environments`: prefixes of commands that env_prefix has made."""
    if 'async_wrapper' not in command or not sent.payloads:
        return None
    prefix = max((prefix for prefix in environments if command.startswith(prefix.strip() + ' ')), key=len, default='')
    try:
        words = shlex.split(command[len(prefix.strip()):])
    except ValueError:
        return None
    at = next((n for n, word in enumerate(words) if word in sent.payloads), 0)
    if not at or sent.payloads[words[at]][0].fqn != WRAPPER:
        return None
    interpreter = ' '.join(words[:at])
    arguments = _arguments(words[at + 1:], words[:at])
    if arguments is None:
        return None
    jid, limit, path, preserve = arguments
    payload, own = sent.payloads.get(path, (None, ''))
    if payload is None or own != interpreter or not (limit.isascii() and limit.isdigit() and len(limit) < 20):
        return None
    command = path if core_version() < (2, 21) else shlex.join([*words[:at], path])
    job = {'id': jid, 'seconds': seconds(int(limit)), 'cmd': command,
           'remove': None if preserve else os.path.dirname(path),
           'words': [0, 1] if core_version() < (2, 19) else [False, True]}
    return ansiballz.ModuleRun(payload, interpreter, environments.get(prefix, {}), job)


def _arguments(words: list[str], interpreter: list[str]) -> tuple[str, str, str, bool] | None:
    """(jid, limit, path of the module, are files preserved), or None."""
    if core_version() >= (2, 21):
        if len(words) < 4 or words[2] not in ('true', 'false') or words[4:] != [*interpreter, words[3]]:
            return None
        return words[0], words[1], words[3], words[2] == 'true'
    if len(words) not in (4, 5) or words[3] != '_' or words[4:] not in ([], ['-preserve_tmp']):
        return None
    return words[0], words[1], words[2], len(words) == 5


def seconds(limit: int) -> float:
    """When async_wrapper ends a module: it looks every 5 seconds, or twice in a limit of less."""
    step = limit / 2 if 0 < limit <= 5 else 5
    return max(1, -(-limit // step)) * step
