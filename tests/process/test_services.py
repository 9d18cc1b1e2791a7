"""The broker's services, over a real multiplexer: processes, files, contexts."""

from __future__ import annotations

import hashlib
import os
import pwd
import signal
import stat
import subprocess
import sys

import pytest

from mitogen_core.controller import bootstrap
from mitogen_core.wire.constants import CALL_SERVICE, CHUNK
from mitogen_core.wire.errors import CallError, ChannelError
from mitogen_core.wire.payloads import frames
from tests.support import leaks
from tests.support.engine import SECONDS

MEGABYTE = 1 << 20


def sh(shared, script: str, stdin: bytes = b'', **more):
    return shared.engine.execute(shared.context, ['/bin/sh', '-c', script], stdin, **more)


# --- processes

@pytest.mark.parametrize('size', [0, 1, MEGABYTE])
def test_stdin(shared, size: int):
    data = os.urandom(size)
    done = sh(shared, 'sha256sum', data)
    assert (done.rc, done.out.split()[0].decode()) == (0, hashlib.sha256(data).hexdigest())


def test_stdin_that_nobody_reads(shared):
    done = sh(shared, 'exec echo deaf', bytes(MEGABYTE))
    assert (done.rc, done.out) == (0, b'deaf\n')


def test_large_output_on_both(shared):
    size = 5 * MEGABYTE
    done = sh(shared, f'head -c {size} /dev/zero | tr "\\0" o; head -c {size} /dev/zero | tr "\\0" e >&2; exit 4')
    assert done.rc == 4
    assert done.out == b'o' * size
    assert done.err == b'e' * size


def test_output_while_input_is_still_coming(shared):
    """cat fills its output before it has read its input."""
    data = os.urandom(4 * MEGABYTE)
    assert sh(shared, 'exec cat', data).out == data


@pytest.mark.parametrize(('script', 'code'), [
    ('exit 0', 0), ('exit 1', 1), ('exit 255', 255), ('kill -9 $$', 128 + signal.SIGKILL), ('kill -TERM $$', 143),
    ('exec /nonexistent/program', 127), ('nonexistent-program-here', 127), ('exec /etc/passwd', 126)])
def test_exit_codes(shared, script: str, code: int):
    assert sh(shared, script).rc == code


def test_command_not_found(shared):
    done = shared.engine.execute(shared.context, ['/nonexistent/program', 'x'])
    assert (done.rc, done.out, done.err) == (127, b'', b'/nonexistent/program: No such file or directory\n')


def test_by_login_shell(shared):
    done = shared.engine.client.call(shared.context, 'processes', 'exec', {'shell': 'echo "$0"; exit 7'},
                                     timeout=SECONDS)
    shell = pwd.getpwuid(os.getuid()).pw_shell
    assert done[0]['rc'] == 7
    assert os.path.basename(done[1].decode().strip()) == os.path.basename(shell)


def test_what_a_command_inherits(shared):
    """Standard descriptors and no other; default signals; a session of its own; the folder that was asked for."""
    done = sh(shared, 'ls -l /proc/self/fd | sed 1d | wc -l; grep SigIgn /proc/self/status; '
                      'grep SigBlk /proc/self/status; cut -d" " -f1,6 /proc/$$/stat; pwd', cwd='/usr')
    fds, ignored, blocked, session, cwd = done.out.decode().splitlines()
    assert int(fds) == 4  # ls itself has the folder open
    assert int(ignored.split()[1], 16) == 0, ignored
    assert int(blocked.split()[1], 16) == 0, blocked
    assert len(set(session.split())) == 1
    assert cwd == '/usr'


def test_tty(shared):
    done = sh(shared, 'test -t 0 && test -t 1 && test -t 2 && echo out; echo err >&2; exit 3', tty=True)
    assert (done.rc, done.out, done.err) == (3, b'out\r\nerr\r\n', b'')


def test_tty_is_the_controlling_one(shared):
    done = sh(shared, 'echo direct >/dev/tty; stty size', tty=True)
    assert (done.rc, done.out) == (0, b'direct\r\n24 80\r\n')


def test_tty_that_is_closed_early(shared, fifo):
    """It does not hang up on who goes on without it."""
    up, gate = fifo('up'), fifo('gate')
    client = shared.engine.client
    handle = client.start(shared.context, 'processes', 'exec', {'tty': True, 'argv': [
        '/bin/sh', '-c', f'echo said; exec <&- >&- 2>&-; echo closed >{up}; read x <{gate}; exit 5']})
    with open(up) as words:
        assert words.read() == 'closed\n'
    assert sh(shared, 'exit 0').rc == 0  # by now the broker has seen it
    holder = os.open(gate, os.O_RDWR)
    try:
        os.write(holder, b'go on\n')
        head, out = client.wait(handle, 'a command', SECONDS)
    finally:
        os.close(holder)
    assert (head['rc'], out) == (5, b'said\r\n')


def test_no_tty(shared):
    assert sh(shared, 'test -t 0 || test -t 1 || test -t 2 || echo none').out == b'none\n'


@pytest.mark.parametrize('tty', [False, True])
def test_a_child_that_keeps_the_output_open(shared, fifo, tmp_path, tty: bool):
    """The answer comes at the end of the command, not of what it left in the background."""
    up, gate = fifo('up'), fifo('gate')
    child_script = tmp_path / 'child'
    child_script.write_text(f'trap "" HUP\necho $$ >{up}\nread x <{gate}\n')
    done = sh(shared, f'sh {child_script} & cat {up}', tty=tty)
    assert done.rc == 0
    child = int(done.out)
    assert leaks.alive(child)
    with open(gate, 'w'):
        pass
    leaks.wait_until(lambda: not leaks.alive(child), 'the end of the background child')


@pytest.mark.timeout(240)
def test_a_child_that_never_stops_talking(shared):
    """A background child that floods the output neither delays the answer nor stops the broker."""
    done = sh(shared, 'for i in 1 2 3 4 5 6 7 8; do yes & echo $! >&2; done')
    assert done.rc == 0
    assert sh(shared, 'echo next').out == b'next\n'
    children = [int(line) for line in done.err.splitlines()]
    assert len(children) == 8
    leaks.wait_until(lambda: not any(map(leaks.alive, children)), 'the end of the flood: its pipe is closed')


def test_many_at_the_same_time(shared, fifo):
    """Each waits for the other: commands of one context run in parallel."""
    engine, there, back = shared.engine, fifo('there'), fifo('back')
    first = engine.client.start(shared.context, 'processes', 'exec',
                                {'argv': ['/bin/sh', '-c', f'echo one >{there}; cat {back}']})
    other = engine.connect()
    second = other.start(shared.context, 'processes', 'exec',
                         {'argv': ['/bin/sh', '-c', f'cat {there}; echo two >{back}']})
    assert other.wait(second, 'the second', SECONDS)[1] == b'one\n'
    assert engine.client.wait(first, 'the first', SECONDS)[1] == b'two\n'
    other.close()


# --- files

@pytest.mark.parametrize('size', [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * MEGABYTE])
@pytest.mark.parametrize('mode', [0o600, 0o755])
def test_write_and_read(shared, tmp_path, size: int, mode: int):
    engine, path, data = shared.engine, tmp_path / 'f\u00efle name', os.urandom(size)
    pieces = [data[at:at + CHUNK] for at in range(0, size, CHUNK)] or [b'']
    engine.client.put(shared.context, str(path), iter(pieces), mode)
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert b''.join(engine.client.get(shared.context, str(path))) == data


def test_write_over_a_longer_file(shared, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'x' * 1000)
    path.chmod(0o640)
    shared.engine.client.put(shared.context, str(path), iter([b'short']), 0o600)
    assert path.read_bytes() == b'short'
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(('path', 'text'), [
    ('/nonexistent/file', 'No such file or directory'), ('/', 'Is a directory')])
def test_file_errors(shared, path: str, text: str):
    with pytest.raises(CallError, match=text) as caught:
        shared.engine.client.put(shared.context, path, iter([b'x']), 0o600)
    assert caught.value.kind == 'os'
    with pytest.raises(CallError, match=text):
        list(shared.engine.client.get(shared.context, path))


def test_expanduser(shared):
    def expand(path: str) -> str:
        return shared.engine.client.call(shared.context, 'files', 'expanduser', {'path': path}, timeout=SECONDS)[0]
    assert expand('~') == os.path.expanduser('~')
    assert expand('~root/x') == os.path.expanduser('~root/x')
    assert expand('~no-such-user-here/x') == '~no-such-user-here/x'
    assert expand('/a b') == '/a b'


# --- what is not there, or not right

@pytest.mark.parametrize(('service', 'method'), [
    ('nothing', 'run'), ('files', 'nothing'), ('files', '__init__'), ('processes', 'running')])
def test_unknown_services(shared, service: str, method: str):
    for target in (shared.context, 0):
        with pytest.raises(CallError, match='no such service') as caught:
            shared.engine.client.call(target, service, method, {}, timeout=SECONDS)
        assert caught.value.kind == 'service'


@pytest.mark.parametrize('head', [None, 7, [], ['files'], [['files'], 'read', {}], [{}, {}, {}]], ids=repr)
def test_requests_that_are_none(shared, head):
    """They fail, and nothing else does."""
    client = shared.engine.client
    client._handle += 1
    client._send(frames(shared.context, 0, CALL_SERVICE, client._handle, head))
    with pytest.raises(CallError):
        client.wait(client._handle, 'an error', SECONDS)
    assert sh(shared, 'echo alive').out == b'alive\n'


def test_wrong_arguments(shared):
    with pytest.raises(CallError) as caught:
        shared.engine.client.call(shared.context, 'files', 'read', {}, timeout=SECONDS)
    assert (caught.value.kind, caught.value.text) == ('internal', "KeyError: 'path'" if sys.version_info and
                                                     shared.interpreter.version[0] == 3 else "KeyError: u'path'")
    assert sh(shared, 'echo alive').out == b'alive\n'


def test_unknown_context(shared):
    with pytest.raises(ChannelError, match='context 4711 is gone'):
        shared.engine.client.call(4711, 'files', 'expanduser', {'path': '~'}, timeout=SECONDS)


# --- interpreters

def same(shared, path: str) -> bool:
    return shared.engine.client.call(shared.context, 'contexts', 'same_interpreter', {'path': path},
                                     timeout=SECONDS)[0]


def test_same_interpreter(shared, tmp_path):
    path = shared.interpreter.path
    assert same(shared, path) is True
    assert same(shared, '/nonexistent/python') is False
    assert same(shared, '/bin/sh') is False
    assert same(shared, 'no-such-python-here') is False
    assert same(shared, path + ' -E') is False
    link = tmp_path / 'python'
    link.symlink_to(path)
    # A link elsewhere may be a virtual environment's: it has other packages.
    assert same(shared, str(link)) is False
    beside = os.path.join(os.path.dirname(path), os.path.basename(os.path.realpath(path)))
    assert same(shared, beside) is True


def test_same_interpreter_in_a_venv(shared, tmp_path):
    if shared.interpreter.version < (3, 3):
        pytest.skip('Python 2 has no venv')
    venv = tmp_path / 'venv'
    subprocess.run([shared.interpreter.path, '-m', 'venv', '--without-pip', str(venv)], check=True, timeout=SECONDS)
    inside = str(venv / 'bin' / 'python')
    assert same(shared, inside) is False
    engine = shared.engine
    hop = {'key': 'python venv', 'spec': {'name': 'venv', 'interpreter': inside, 'timeout': SECONDS, 'argv': [
        '/bin/sh', '-c', 'exec ' + bootstrap.first_stage(inside)]}}
    ids, hellos = engine.get({'key': 'local', 'spec': None}, hop)
    try:
        assert ids[1] != ids[0]
        assert hellos[1]['executable'] == inside
    finally:
        engine.client.call(ids[0], 'contexts', 'end', {'id': ids[1]}, timeout=SECONDS)
    own = {'key': 'python own', 'spec': {'name': 'own', 'interpreter': shared.interpreter.path, 'argv': ['/bin/false'],
                                         'timeout': SECONDS}}
    assert engine.get({'key': 'local', 'spec': None}, own)[0] == [ids[0], ids[0]]
