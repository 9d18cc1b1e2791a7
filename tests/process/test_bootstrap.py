"""From a command line and stdin to a broker: the text that ships, in every Python of this machine."""

from __future__ import annotations

import base64
import os
import pwd
import re
import select
import shlex
import shutil
import subprocess
import time

import pytest

from mitogen_core.controller import bootstrap
from mitogen_core.wire.constants import HELLO, VERSION
from mitogen_core.wire.errors import CallError
from mitogen_core.wire.frames import FrameDecoder
from mitogen_core.wire.payloads import unpack
from tests.support import interpreters, leaks
from tests.support.boot import Boot, hello_frame, stream
from tests.support.engine import SECONDS, Engine, boot_argv, login
from tests.support.interpreters import Interpreter


def test_every_version_that_the_machine_has_is_tested():
    versions = [interpreter.version for interpreter in interpreters.found()]
    assert versions == sorted(set(versions))
    assert any(version >= (3, 6) for version in versions)


def test_hello(interpreter: Interpreter):
    with Boot(boot_argv(interpreter.path)) as boot:
        version, head = boot.hello()
    me = pwd.getpwuid(os.getuid())
    assert version == '.'.join(map(str, interpreter.version))
    assert head['version'] == VERSION
    assert head['id'] == 7
    assert head['pid'] == boot.process.pid
    assert tuple(head['python'][:2]) == interpreter.version
    assert head['executable'] == interpreter.path
    assert (head['user'], head['uid'], head['home']) == (me.pw_name, me.pw_uid, me.pw_dir)
    assert boot.stderr() == b''


def test_hello_through_the_multiplexer(shared):
    _, hellos = shared.engine.get({'key': 'local', 'spec': None})
    assert tuple(hellos[0]['python'][:2]) == shared.interpreter.version
    assert hellos[0]['executable'] == shared.interpreter.path


def test_noise_before_the_mark(engine: Engine, interpreter: Interpreter):
    heard = {1: b'', 2: b''}
    noise = 'printf "Welcome to MITOSIS, last login MITO"; echo; echo mind the gap >&2; printf "no newline here "; '

    def progress(head, data):
        heard[head['stream']] += data
    argv = ['/bin/sh', '-c', noise + bootstrap.boot_command((interpreter.path,))]
    ids, hellos = engine.get(login('noisy', argv), on_progress=progress)
    assert heard[1].startswith(b'Welcome to MITOSIS, last login MITO\n')
    assert heard[2] == b'mind the gap\n'
    assert tuple(hellos[0]['python'][:2]) == interpreter.version
    assert engine.execute(ids[0], ['echo', 'works']).out == b'works\n'


@pytest.mark.parametrize('size', [60000, 70000])
def test_too_much_noise(engine: Engine, size: int):
    newest = interpreters.newest()
    argv = ['/bin/sh', '-c', f'yes | head -c {size}; ' + bootstrap.boot_command((newest.path,))]
    if size < 1 << 16:
        assert engine.get(login('noisy', argv))[0]
    else:
        with pytest.raises(CallError, match=r'noisy: it printed \d+ bytes and never became ready'):
            engine.get(login('noisy', argv))


@pytest.mark.parametrize('version', ['2.4', '2.6', '3.0', '3.5'])
def test_python_too_old(engine: Engine, tmp_path, version: str):
    fake = tmp_path / 'python-old'
    fake.write_text(f'#!/bin/sh\nprintf "MITOSIS:{version}\\n"\nexec cat >/dev/null\n')
    fake.chmod(0o755)
    with pytest.raises(CallError) as caught:
        engine.get(login('old host', boot_argv(str(fake))))
    assert caught.value.kind == 'boot'
    assert caught.value.text == f'old host: its Python is {version}; 2.7 or at least 3.6 is needed'


def test_python_without_a_version(engine: Engine, tmp_path):
    fake = tmp_path / 'python-odd'
    fake.write_text('#!/bin/sh\necho MITOSIS:what\nexec cat >/dev/null\n')
    fake.chmod(0o755)
    with pytest.raises(CallError, match="odd host: its Python gives no version: 'what'"):
        engine.get(login('odd host', boot_argv(str(fake))))


def test_no_python(engine: Engine):
    with pytest.raises(CallError) as caught:
        engine.get(login('bare host', boot_argv('/nonexistent/python', 'no-such-python-here')))
    assert (caught.value.kind, caught.value.text) == ('no-python', 'bare host: there is no Python')
    assert caught.value.more['rc'] == 127


def test_the_first_python_that_is_there_is_taken():
    newest = interpreters.newest()
    with Boot(boot_argv('/nonexistent/python', newest.path, '/bin/false')) as boot:
        assert tuple(boot.hello()[1]['python'][:2]) == newest.version


def test_a_command_that_ends_first(engine: Engine):
    with pytest.raises(CallError) as caught:
        engine.get(login('shut host', ['/bin/sh', '-c', 'echo out; echo Permission denied >&2; exit 255']))
    assert caught.value.kind == 'exit'
    assert (caught.value.more['rc'], caught.value.more['out'], caught.value.more['err']) == (
        255, b'out\n', b'Permission denied\n')
    with pytest.raises(CallError, match='lost host: ') as caught:
        engine.get(login('lost host', ['/nonexistent/ssh']))
    assert b'/nonexistent/ssh: No such file or directory' in caught.value.more['err']


def test_a_command_that_never_becomes_ready(engine: Engine):
    hop = login('slow host', ['/bin/sh', '-c', 'exec cat >/dev/null'])
    hop['spec']['timeout'] = 0.2
    with pytest.raises(CallError) as caught:
        engine.get(hop)
    assert caught.value.kind == 'timeout'
    assert caught.value.text.startswith('slow host: ')


def test_a_stranger_at_the_other_end(engine: Engine):
    """The mark is there, but what follows is not our protocol."""
    script = 'echo MITOSIS:3.9; head -c 100 /dev/zero; cat >/dev/null'
    with pytest.raises(CallError, match='strange host: '):
        engine.get(login('strange host', ['/bin/sh', '-c', script]))


# --- the command line

@pytest.mark.parametrize('shell', ['sh', 'bash', 'dash', 'fish', 'csh', 'tcsh', 'zsh', 'ksh', 'busybox'])
def test_login_shells(shell: str):
    """As sshd starts it: the line goes to the account's shell, by -c."""
    path = shutil.which(shell)
    if not path:
        pytest.skip(f'no {shell} on this machine')
    newest = interpreters.newest()
    line = bootstrap.boot_command(('/nonexistent/python', newest.path))
    argv = [path, 'sh'] if shell == 'busybox' else [path]
    with Boot([*argv, '-c', line]) as boot:
        assert tuple(boot.hello()[1]['python'][:2]) == newest.version
        assert boot.stderr() == b''


def test_what_csh_or_fish_would_change_is_not_there():
    """Single-quoted, all is literal to both but '!' and a newline (csh) and a backslash (fish)."""
    assert not set(bootstrap.boot_command()) & set('!\n\\')
    assert bootstrap.boot_command().isascii()


def test_the_first_stage_is_the_one_that_is_documented():
    words = shlex.split(bootstrap.first_stage('python'))
    assert base64.b64decode(words[-1]).decode() == bootstrap.FIRST_STAGE
    assert re.fullmatch(r'[A-Za-z0-9+/=]+', words[-1])
    assert len(bootstrap.first_stage('python')) <= 900


# --- the end of stdin, wherever it comes

def offsets() -> list[int]:
    """Each byte of the header; a spread over code, hello and what follows; the borders between them."""
    parts = stream()
    borders, at = [], 0
    for part in parts:
        at += len(part)
        borders.append(at)
    found = set(range(9)) | {border + shift for border in borders for shift in (-1, 0, 1)}
    for first, last, count in ((8, borders[1], 24), (borders[1], borders[2], 20), (borders[2], borders[-1], 16)):
        found |= {first + (last - first) * step // count for step in range(count)}
    return sorted(offset for offset in found if 0 <= offset <= borders[-1])


def test_offsets_cover_every_class():
    assert len(offsets()) > 60
    assert max(offsets()) == len(b''.join(stream()))


def test_stdin_ends_at_any_byte(interpreter: Interpreter, clean: str):
    data = b''.join(stream())
    code_end = len(b''.join(stream()[:2]))
    argv = [interpreter.path, *shlex.split(bootstrap.first_stage('python'))[1:]]
    waiting = offsets()
    while waiting:
        batch, waiting = waiting[:8], waiting[8:]
        boots = [(offset, Boot(argv)) for offset in batch]
        try:
            for offset, boot in boots:
                boot.feed(data[:offset])
            for _, boot in boots:
                boot.process.stdin.close()
            for offset, boot in boots:
                assert boot.process.wait(SECONDS) in ((70,) if offset <= code_end else (0, 70)), offset
                assert boot.stderr() == b'', offset
        finally:
            for _, boot in boots:
                boot.close()
        leaks.no_processes(clean, f'alive after stdin ended at one of {batch}')


STARTER = r'''
import os, subprocess, sys
data = open(sys.argv[1], 'rb').read()[:int(sys.argv[2])]
p = subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
p.stdout.readline()
p.stdin.write(data)
p.stdin.flush()
os.write(1, b'fed\n')
p.stdout.read()
'''


def test_parent_is_killed_at_any_byte(interpreter: Interpreter, clean: str, tmp_path):
    data = b''.join(stream())
    (tmp_path / 'stream').write_bytes(data)
    for offset in (0, 1, 7, 8, 9, len(data) // 3, *(len(b''.join(stream()[:n])) - 1 for n in (2, 3, 4)), len(data)):
        parent = subprocess.Popen([interpreters.newest().path, '-c', STARTER, str(tmp_path / 'stream'), str(offset),
                                   *boot_argv(interpreter.path)], stdout=subprocess.PIPE)
        assert parent.stdout.readline() == b'fed\n'
        parent.kill()
        parent.wait(SECONDS)
        parent.stdout.close()
        leaks.no_processes(clean, f'alive after the parent was killed at byte {offset}')


def test_a_silent_controller_ends_by_alarm():
    """The last resort is there: a first stage that hears nothing has an alarm set, a broker has none."""
    code = bootstrap.FIRST_STAGE.replace(f'alarm({bootstrap.BOOT_SECONDS})', 'alarm(1)')
    assert code != bootstrap.FIRST_STAGE
    process = subprocess.Popen([interpreters.newest().path, '-c', code], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL)
    assert process.wait(SECONDS) == -14
    process.stdin.close()


def test_wrong_version_is_refused(edge: Interpreter):
    with Boot(boot_argv(edge.path)) as boot:
        boot.feed(stream()[0] + stream()[1] + hello_frame(version=VERSION + 1))
        assert boot.process.wait(SECONDS) != 0
        assert b'the peer speaks version %d' % (VERSION + 1) in boot.stderr()


def test_bytes_in_single_pieces(edge: Interpreter):
    """A link that delivers the header and the hello byte by byte."""
    header, code, hello = stream()[:3]
    with Boot(boot_argv(edge.path)) as boot:
        for byte in header:
            boot.feed(bytes([byte]))
        boot.feed(code)
        for byte in hello:
            boot.feed(bytes([byte]))
        decoder, frames, end = FrameDecoder(), [], time.monotonic() + SECONDS
        data = boot.process.stdout.readline()
        assert data.startswith(b'MITOSIS:')
        while not frames and time.monotonic() < end:
            assert select.select([boot.process.stdout], [], [], SECONDS)[0]
            frames += decoder.feed(os.read(boot.process.stdout.fileno(), 4096))
        assert frames[0].handle == HELLO
        assert unpack(frames[0].payload)[0]['id'] == 7
