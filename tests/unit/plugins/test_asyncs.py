"""The command line of async_wrapper is recognised where all of it is known; any other is a command like any other."""

from __future__ import annotations

import shlex

import pytest

from tests.support import builder, collection
from tests.support.builder import CORE

asyncs = collection.load('plugins.plugin_utils._compat.asyncs')
ansiballz = collection.load('plugins.plugin_utils._compat.ansiballz')

PYTHON = '/usr/bin/python3'
FOLDER = '/home/me/.ansible/tmp/ansible-tmp-1-2-3'
MODULE, WRAPPER = f'{FOLDER}/AnsiballZ_ping.py', f'{FOLDER}/async_wrapper.py'
ENVIRONMENTS = {"A='b c' ": {'A': 'b c'}, "A='b c' D=e ": {'A': 'b c', 'D': 'e'}, '': {}}


@pytest.fixture
def sent(tmp_path):
    found = asyncs.Sent()
    for path, name in ((MODULE, 'ping'), (WRAPPER, 'async_wrapper')):
        local = tmp_path / name
        local.write_bytes(builder.build(name, builder.args()))
        found.note(str(local), path)
    assert set(found.payloads) == {MODULE, WRAPPER}
    return found


def line(jid='j1', limit='10', preserve=False, module=MODULE, python=PYTHON, wrapper=WRAPPER, more=()):
    if CORE >= (2, 21):
        words = [python, wrapper, jid, limit, str(preserve).lower(), module, python, module, *more]
        return shlex.join(words)
    return ' '.join([python, wrapper, jid, limit, module, '_', *(['-preserve_tmp'] if preserve else []), *more])


@pytest.mark.parametrize('preserve', [False, True])
@pytest.mark.parametrize('prefix', ENVIRONMENTS)
def test_known(sent, prefix, preserve):
    found = asyncs.parse(prefix + line(preserve=preserve), sent, ENVIRONMENTS)
    assert found.payload.fqn == 'ansible.modules.ping'
    assert (found.interpreter, found.environment) == (PYTHON, ENVIRONMENTS[prefix])
    words = [0, 1] if CORE < (2, 19) else [False, True]
    command = MODULE if CORE < (2, 21) else f'{PYTHON} {MODULE}'
    assert found.job == {'id': 'j1', 'seconds': 10, 'cmd': command, 'words': words,
                         'remove': None if preserve else FOLDER}


@pytest.mark.parametrize('command', [
    line(module='/other/AnsiballZ_ping.py'), line(wrapper='/other/async_wrapper.py'), line(limit='x'),
    line(python='/usr/bin/python2'), line(more=['args']), 'X=y ' + line(), line() + ' && echo', line() + " '",
    line(module=WRAPPER.replace('async_wrapper', 'x')), 'async_wrapper', '', f'{WRAPPER} {line()}',
    line(wrapper=MODULE),
])
def test_unknown(sent, command):
    assert asyncs.parse(command, sent, ENVIRONMENTS) is None


def test_what_is_noted(tmp_path):
    sent = asyncs.Sent()
    local = tmp_path / 'x'
    local.write_bytes(b'\x7fELF')
    for path in (MODULE, '/tmp/file'):
        sent.note(str(local), path)
    sent.note(str(tmp_path / 'missing'), MODULE)
    assert not sent.payloads
    local.write_bytes(builder.ping())
    for number in range(20):
        sent.note(str(local), f'/tmp/AnsiballZ_{number}')
    assert list(sent.payloads) == [f'/tmp/AnsiballZ_{number}' for number in range(12, 20)]
    # Another file in its place.
    local.write_text('#!/bin/sh\n')
    sent.note(str(local), '/tmp/AnsiballZ_19')
    assert '/tmp/AnsiballZ_19' not in sent.payloads


@pytest.mark.parametrize(('limit', 'seconds'), [
    (0, 5), (1, 1), (2, 2), (5, 5), (6, 10), (10, 10), (11, 15), (3600, 3600), (3601, 3605)])
def test_when_a_module_is_ended(limit, seconds):
    assert asyncs.seconds(limit) == seconds
