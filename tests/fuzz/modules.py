"""Modules on their way: what ansible-core's builder made of them, and what they print."""

from __future__ import annotations

import base64
import functools
import io
import json
import zipfile
from typing import Any

from mitogen_core.remote.detached import find_json
from mitogen_core.wire.choices import choose
from tests.support import builder, collection


@functools.cache
def recogniser() -> Any:
    return collection.load('plugins.plugin_utils._compat.ansiballz')


def read_payload(data: bytes) -> Any:
    """Is it a module's payload?  All that is not is None, and runs as what it is."""
    found = recogniser().parse(data)
    if found is not None:
        assert isinstance(found.params, str) and found.key and found.ends >= 0 and len(found.date_time) == 6
    return found


# As the builders of ansible-core 2.16-2.18 and of 2.19 on end their wrappers.
TAIL_1 = b'''_ANSIBALLZ_WRAPPER = True
    zinfo.date_time = (2026, 1, 2, 3, 4, 5)
    temp_path = tempfile.mkdtemp(prefix='ansible_' + 'ansible.builtin.ping' + '_payload_')
    runpy.run_module(mod_name='ansible.modules.ping', init_globals=dict(
    requested_soft = min(existing_hard, 0)
    ANSIBALLZ_PARAMS = %s
    ZIPDATA = '%s'
if __name__ == '__main__':
    _ansiballz_main()
'''
TAIL_2 = b'''_ANSIBALLZ_WRAPPER = True
if __name__ == "__main__":
    _ansiballz_main(
zip_data='%s',
)
'''
FIELDS_2 = (b"'ansible.builtin.ping'", b"'ansible.modules.ping'", b"'legacy'",
            b'datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)', b'0',
            b'\'{"ANSIBLE_MODULE_ARGS": {"data": "x", "_ansible_check_mode": false}}\'', b'{}')


def read_fields(data: bytes) -> Any:
    """A wrapper around these fields, which NUL parts: of 2.19 on, or of before where there are few."""
    fields = data.split(b'\0')
    if len(fields) < 4:
        return read_payload(TAIL_1 % (fields[0], fields[-1]))
    names = (b'ansible_module', b'module_fqn', b'profile', b'date_time', b'rlimit_nofile', b'params', b'extensions')
    lines = b''.join(b'%s=%s,\n' % pair for pair in zip(names, fields, strict=False))
    head, _, tail = TAIL_2.partition(b'zip_data=')
    return read_payload(head + lines + b'zip_data=' + tail % fields[-1])


def fields() -> list[bytes]:
    return [b'\0'.join([*FIELDS_2, zipped()]), b"'{}'\0" + zipped(), b'"' + b'(' * 200, b'\0' * 6]


@functools.cache
def payloads() -> list[bytes]:
    """The real one without most of its wrapper and its zip file, and two of our making."""
    recogniser()  # with it comes the loader of collections, which the builder needs
    real = builder.ping()
    at, zip_at = (real.rindex(b'if __name__ =='), real.rindex(b"zip_data='" if builder.LAYOUT == 2 else b"ZIPDATA = '"))
    end = real.index(b"'", real.index(b"'", zip_at) + 1)
    short = real[:200] + b'\n' + real[min(at, zip_at - 600):real.index(b"'", zip_at) + 1] + zipped() + real[end:]
    return [short, TAIL_1 % (b"'{}'", zipped()), b'#!/usr/bin/python\n# WANT_JSON\n', b'#!/bin/sh\necho {}\n',
            b'#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n', b'\x7fELF\2\1\1']


@functools.cache
def zipped(kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', kind) as archive:
        archive.writestr('ansible/modules/ping.py', 'print(1)\n')
        archive.writestr('ansible/__init__.py', '')
    return base64.b64encode(file.getvalue())


def read_zip(data: bytes) -> Any:
    """The file, not its base64."""
    found = recogniser().unzip(base64.b64encode(data))
    assert all(isinstance(content, bytes) for content in found.values())
    return found


def zips() -> list[bytes]:
    return [base64.b64decode(zipped(kind)) for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2)]


STAT = {'warnings': None, 'stat': {'exists': True, 'isdir': True}}


def read_output(data: bytes) -> Any:
    """What a module printed, where a guess depends on it."""
    return choose([[STAT], [{'stat': {'exists': False}}, {'x': None}]], {'rc': 0, 'out': len(data)}, data)


def read_output_of_job(data: bytes) -> Any:
    found, junk = find_json(data.decode('utf-8', 'replace'))
    assert junk is None or isinstance(junk, str)
    return found


def outputs() -> list[bytes]:
    return [json.dumps({'changed': False, 'stat': {'exists': True, 'isdir': True}}).encode(), b'\n {"x": 1}\njunk\n',
            b'{}', b'[' * 500, b'{"stat": NaN}', b'{"a": ' * 300, b'{"x": 1e999, "y": ' + b'9' * 400 + b'}']


TARGETS = {
    'module': (read_payload, (), payloads),
    'module-fields': (read_fields, (), fields),
    'zip': (read_zip, (ValueError,), zips),
    'output': (read_output, (), outputs),
    'output-of-job': (read_output_of_job, (ValueError, RecursionError), outputs),
}
