"""What the running ansible-core's module builder makes is taken apart; anything else is left alone."""

from __future__ import annotations

import base64
import io
import json
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import collection
from tests.support.builder import LAYOUT, args, build, params_of, ping

ansiballz = collection.load('plugins.plugin_utils._compat.ansiballz')
modules = collection.load('plugins.plugin_utils._modules')

plain = st.text("a'\"\\\n\r\t\0{}%s\xe9\u2028\U0001f600#", max_size=12)
values = st.recursive(st.one_of(plain, st.integers(), st.booleans(), st.none()),
                      lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(plain, inner, max_size=3)))


@pytest.fixture(scope='module', autouse=True)
def built_once():
    """The first payload costs the builder a scan of module_utils; it is no part of any test."""
    ping()


def test_what_it_says():
    payload = ansiballz.parse(ping())
    assert (payload.layout, payload.name, payload.fqn) == (LAYOUT, 'ansible.builtin.ping', 'ansible.modules.ping')
    assert params_of(payload) == args(data='pong')
    assert payload.profile == ('legacy' if LAYOUT == 2 else '')
    assert len(payload.date_time) == 6 and payload.date_time[0] >= 2024
    assert payload.rlimit_nofile == 0
    assert len(payload.key) == 32


@settings(max_examples=15)
@given(st.dictionaries(plain.filter(bool), values, max_size=4))
def test_params_arrive_as_they_are(params):
    payload = ansiballz.parse(build('ansible.builtin.ping', args(**params)))
    assert params_of(payload) == json.loads(json.dumps(args(**params)))


@pytest.mark.parametrize('text', [
    "',\n)\n", "\nzip_data='", "\nZIPDATA = '", "    ZIPDATA = '", 'import coverage', 'if __name__ == "__main__":\n',
    "if __name__ == '__main__':\n    _ansiballz_main()\n", '_ANSIBALLZ_WRAPPER = True', '\\', "\\'", '"""', "'''",
    '    ANSIBALLZ_PARAMS = 1', '%(zipdata)s', '\u2603', '\U0001f600',
])
def test_params_that_look_like_the_wrapper(text):
    payload = ansiballz.parse(build('ansible.builtin.ping', args(data=text)))
    assert params_of(payload)['data'] == text
    assert payload.zip_data == ansiballz.parse(ping()).zip_data


def test_check_mode_and_limits():
    payload = ansiballz.parse(build('ansible.builtin.file', args(path='/x', _ansible_check_mode=True),
                                    ansible_python_module_rlimit_nofile=4096))
    assert payload.fqn == 'ansible.modules.file'
    assert params_of(payload)['_ansible_check_mode'] is True
    assert payload.rlimit_nofile == 4096


def changed(old: bytes, new: bytes) -> bytes:
    data = ping()
    assert data.count(old) >= 1
    return data.replace(old, new)


COMMON = {
    'no payload': lambda: b'#!/usr/bin/python3\nprint(1)\n',
    'empty': lambda: b'',
    'a script that mentions the wrapper': lambda: b'#!/bin/sh\n# _ANSIBALLZ_WRAPPER = True\n',
    'no mark': lambda: changed(b'_ANSIBALLZ_WRAPPER = True', b'_ANSIBALLZ_WRAPPER = False'),
    'text after it': lambda: ping() + b'print(1)\n',
    'cut short': lambda: ping()[:-1],
    'cut in the zip file': lambda: ping()[:len(ping()) // 2],
}
LAYOUTS = {
    2: {
        'extensions': lambda: changed(b'\nextensions={},\n', b"\nextensions={'_coverage': {}},\n"),
        'another argument': lambda: changed(b'\nextensions={},\n', b'\nextensions={},\nnew=1,\n'),
        'an argument less': lambda: changed(b'\nextensions={},\n', b'\n'),
        'another order': lambda: changed(b'\nrlimit_nofile=0,\n', b'\n').replace(
            b'\nextensions={},\n', b'\nextensions={},\nrlimit_nofile=0,\n'),
        'params that are no text': lambda: changed(b'\nextensions', b'\n)#\nextensions'),
        'a profile that is computed': lambda: changed(b"\nprofile='", b"\nprofile='x' + '"),
        'a date in another zone': lambda: changed(b'tzinfo=datetime.timezone.utc', b'tzinfo=None'),
        'another entry point': lambda: changed(b'    _ansiballz_main(\n', b'    _ansiballz_debug(\n'),
    },
    1: {
        'coverage': lambda: changed(b'def invoke_module', b'import coverage\ndef invoke_module'),
        'params that are computed': lambda: changed(b'    ANSIBALLZ_PARAMS = ', b'    ANSIBALLZ_PARAMS = str() + '),
        'params twice': lambda: changed(b'    ANSIBALLZ_PARAMS = ',
                                        b"    ANSIBALLZ_PARAMS = '{}'\n    ANSIBALLZ_PARAMS = "),
        'another way to run it': lambda: changed(b'runpy.run_module(', b'runpy.run_path('),
        'another folder': lambda: changed(b'tempfile.mkdtemp(prefix=', b'tempfile.mkdtemp(dir='),
        'another date': lambda: changed(b'zinfo.date_time = (', b'zinfo.date_time = tuple('),
        'another end': lambda: changed(b"__main__':\n    _ansiballz_main()", b"__main__':\n    _ansiballz_debug()"),
    },
}
UNUSUAL = COMMON | LAYOUTS[LAYOUT]


@pytest.mark.parametrize('name', UNUSUAL)
def test_anything_unusual_is_left_alone(name):
    assert ansiballz.parse(UNUSUAL[name]()) is None


@pytest.mark.parametrize('output', ['output', ''], ids=['measured', 'looked for'])
def test_coverage_of_the_builder_is_left_alone(monkeypatch, tmp_path, output):
    config = str(tmp_path / 'config')
    monkeypatch.setenv('_ANSIBLE_COVERAGE_CONFIG', config)  # 2.16-2.18
    monkeypatch.setenv('_ANSIBLE_COVERAGE_OUTPUT', output)
    coverage = json.dumps({'config': config, 'output': output or None})
    payload = build('ansible.builtin.ping', args(data='pong'), _ansible_ansiballz_coverage_config=coverage)
    assert b'coverage' in payload.replace(coverage.encode(), b'') and ansiballz.parse(payload) is None


@given(st.lists(st.tuples(st.integers(0), st.binary(max_size=6), st.integers(0, 20)), min_size=1, max_size=4))
def test_mutated_payloads_never_raise(changes):
    """In the wrapper's text; what is in the zip file shows when it is opened."""
    data = ping()
    zip_at = data.index(ansiballz.parse(data).zip_data)
    end = zip_at + len(ansiballz.parse(data).zip_data)
    head, tail = bytearray(data[:zip_at]), bytearray(data[end:])
    for at, new, dropped in changes:
        at %= len(head) + len(tail)
        part, at = (head, at) if at < len(head) else (tail, at - len(head))
        part[at:at + dropped] = new
    ansiballz.parse(bytes(head) + data[zip_at:end] + bytes(tail))


@given(st.sampled_from(['params=', 'profile=', 'rlimit_nofile=', 'ANSIBALLZ_PARAMS = ', 'date_time = ', 'date_time=']),
       st.sampled_from(['{[]: 1}', '-' * 5000 + '1', '(' * 300 + ')' * 300, '9' * 5000, "'\\ud800'", '[' * 90, 'x', '',
                        "b''", '"\0"', '1j', '(1, 2)', '\xff']))
def test_odd_values_never_raise(field, value):
    data = ping().split(field.encode())
    lines = data[-1].split(b'\n', 1)
    ansiballz.parse(field.encode().join(data[:-1]) + field.encode() + value.encode('latin1') + b',\n' + lines[-1])


def zip_of(files, date, compression=zipfile.ZIP_DEFLATED):
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, 'w') as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date)
            info.compress_type = compression
            archive.writestr(info, content)
    return base64.b64encode(raw.getvalue())


def closure_of(zip_data):
    return modules.Closure(ansiballz.unzip(zip_data))


contents = st.dictionaries(st.sampled_from(['a.py', 'b/__init__.py', 'b/c.py', 'd.py']), st.binary(max_size=80),
                           min_size=1)


@given(contents, st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED]))
def test_a_closure_is_its_content(files, compression):
    closure = closure_of(zip_of(files, (2026, 1, 1, 0, 0, 0)))
    other = closure_of(zip_of(dict(reversed(files.items())), (1999, 12, 31, 23, 59, 58), compression))
    assert (closure.digest, closure.listing) == (other.digest, other.listing)
    listed = dict(reversed(line.split(' ', 1)) for line in closure.listing.decode().splitlines())
    for found in (closure, other):
        assert {name: zlib.decompress(found.deflated(digest), -15) for name, digest in listed.items()} == files
    for name in files:
        changed = closure_of(zip_of(dict(files, **{name: files[name] + b'x'}), (2026, 1, 1, 0, 0, 0)))
        assert changed.digest != closure.digest


def test_real_closures():
    closure = closure_of(ansiballz.parse(ping()).zip_data)
    names = [line.split(b' ', 1)[1] for line in closure.listing.splitlines()]
    assert b'ansible/modules/ping.py' in names and b'ansible/module_utils/basic.py' in names
    other = closure_of(ansiballz.parse(build('ansible.builtin.stat', args(path='/'))).zip_data)
    assert len(closure.files.keys() & other.files.keys()) > len(closure.files) // 2, 'closures share their files'
