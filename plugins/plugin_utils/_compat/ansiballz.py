"""Takes apart what ansible-core's module builder made: the wrapper around a zip file of the module and what it imports.

2.16-2.18: `module_common.ANSIBALLZ_TEMPLATE`, filled in by %-formatting.
2.19-2.21: `_internal/_ansiballz/_wrapper.py`, and at its end a call with one argument a line.

A wrapper that does not have this shape, or has coverage or a debugger in it, gives None: it then runs as the text that
it is.  In connection-only mode each worker imports this file anew, hence plain classes and late regular expressions.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import json
import re
import zipfile
from typing import Any

WRAPPER = b'_ANSIBALLZ_WRAPPER = True'
HEAD = 4096

_DATE = (rb'datetime\.datetime\((\d+), (\d+), (\d+), (\d+), (\d+)(?:, (\d+))?(?:, (\d+))?, '
         rb'tzinfo=datetime\.timezone\.utc\)$')
_FIELDS_2 = [b'ansible_module', b'module_fqn', b'profile', b'date_time', b'rlimit_nofile', b'params', b'extensions']
_RLIMIT_1 = rb'^ *requested_soft = min\(existing_hard, (\d+)\)$'
_COVERAGE_1 = rb'^ *(?:import coverage$|.*\.find_(?:spec|module)\(.coverage.\))'
_LINES_1 = {
    'date_time': rb'^ *zinfo\.date_time = (\(\d+(?:, \d+){5}\))$',
    'fqn': rb"^ *runpy\.run_module\(mod_name='([\w.]+)', init_globals=dict\(",
    'name': rb"^ *temp_path = tempfile\.mkdtemp\(prefix='ansible_' \+ '([\w.]+)' \+ '_payload_'\)$",
}


class Payload:
    """One module run.  `zip_data` is base64; `layout`: how the module is entered (1: basic and runpy, 2: _loader)."""

    def __init__(self, layout: int, name: str, fqn: str, params: str, profile: str, date_time: tuple[int, ...],
                 rlimit_nofile: int, zip_data: bytes) -> None:
        self.layout, self.name, self.fqn, self.params, self.profile = layout, name, fqn, params, profile
        self.date_time, self.rlimit_nofile, self.zip_data = date_time, rlimit_nofile, zip_data

    @property
    def ends(self) -> int:
        """How many bytes at the end of its parameters are much the same for each task: ActionBase._update_module_args
        (2.16-2.21) puts them behind the task's own."""
        at = self.params.rfind(', "_ansible_check_mode"')
        return len(self.params[at:].encode()) if at > 0 else 0

    @property
    def key(self) -> str:
        """Names the zip file within this run of Ansible."""
        return hashlib.blake2b(self.zip_data, digest_size=16).hexdigest()


class ModuleRun:
    """A payload, and what is to run it.  `job`: not now but as a job; see the service `jobs`."""

    def __init__(self, payload: Payload, interpreter: str, environment: dict[str, str],
                 job: dict[str, Any] | None = None) -> None:
        self.payload, self.interpreter, self.environment, self.job = payload, interpreter, environment, job


def parse(data: bytes) -> Payload | None:
    """The payload that `data` is, or None."""
    if WRAPPER not in data[:HEAD]:
        return None
    try:
        return _parse_2(data) if b'\nzip_data=' in data else _parse_1(data)
    except (ValueError, SyntaxError, TypeError, LookupError, AttributeError, RecursionError, MemoryError):
        return None


def _parse_2(data: bytes) -> Payload | None:
    zip_at = data.rindex(b"\nzip_data='")
    start = data.rindex(b'if __name__ == "__main__":\n    _ansiballz_main(\n', 0, zip_at)
    tail_at = data.index(b"'", zip_at + 11)
    if data[tail_at:] != b"',\n)\n":
        return None
    lines = data[start:zip_at].split(b'\n')[2:]
    fields = {}
    for line in lines:
        name, _equals, value = line.partition(b'=')
        if not value.endswith(b','):
            return None
        fields[name] = value[:-1]
    date = re.match(_DATE, fields[b'date_time'])
    if list(fields) != _FIELDS_2 or fields[b'extensions'] != b'{}' or not date:
        return None

    def text(name: bytes) -> str:
        value = ast.literal_eval(fields[name].decode())
        if not isinstance(value, str):
            raise ValueError(name)
        return value
    return Payload(2, text(b'ansible_module'), text(b'module_fqn'), text(b'params'), text(b'profile'),
                   tuple(int(part or 0) for part in date.groups()[:6]), int(fields[b'rlimit_nofile']),
                   data[zip_at + 11:tail_at])


def _parse_1(data: bytes) -> Payload | None:
    mark = b"    ZIPDATA = '"
    start = data.index(mark) + len(mark)
    end = data.index(b"'\n", start)
    rest = data[:start] + data[end:]
    # No newline follows where the template was stripped of its comments, as it is without ANSIBLE_KEEP_REMOTE_FILES.
    end_mark = b"if __name__ == '__main__':\n    _ansiballz_main()"
    if re.search(_COVERAGE_1, rest, re.M) or not data.endswith((end_mark, end_mark + b'\n')):
        return None
    found = {name: re.findall(pattern, rest, re.M) for name, pattern in _LINES_1.items()}
    params = re.findall(rb'^    ANSIBALLZ_PARAMS = (.*)$', rest, re.M)
    limits = re.findall(_RLIMIT_1, rest, re.M)
    if len(params) != 1 or len(limits) > 1 or not all(found.values()):
        return None
    value = ast.literal_eval(params[0].decode())
    if not isinstance(value, str):
        return None
    json.loads(value)
    return Payload(1, found['name'][0].decode(), found['fqn'][0].decode(), value, '',
                   ast.literal_eval(found['date_time'][0].decode()), int(limits[0]) if limits else 0, data[start:end])


def unzip(zip_data: bytes) -> dict[str, bytes]:
    """The files of a payload by their paths.  Raises ValueError."""
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(zip_data))) as archive:
            return {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception as e:  # each way to compress has errors of its own
        raise ValueError(f'no zip file: {e!r:.200}') from e
