"""What a connection plugin would start is found, by its own code, and not started."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import threading
from subprocess import Popen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import collection

piped = collection.load('plugins.plugin_utils._piped')

MARK = 'MARKmark123'


def started(action, run=None):
    with pytest.raises(piped.Command) as caught, piped.watched(MARK, run):
        action()
    return caught.value


@pytest.mark.parametrize('start', [
    lambda line: subprocess.Popen(['kubectl', 'exec', '--', line]), lambda line: Popen(['kubectl', 'exec', '--', line]),
    lambda line: subprocess.run(['kubectl', 'exec', '--', line], check=True),
    lambda line: subprocess.check_output(args=['kubectl', 'exec', '--', line]),
    lambda line: subprocess.Popen([b'kubectl', 'exec', '--', line.encode()], stdin=subprocess.PIPE),
], ids=['Popen', 'from-import', 'run', 'check_output', 'bytes'])
def test_ways_to_start(start):
    line = f"sh -c 'echo {MARK}'"
    assert started(lambda: start(line)).argv == ['kubectl', 'exec', '--', line]


def test_in_a_shell():
    line = f"nsenter -- sh -c 'echo {MARK}'"
    assert started(lambda: subprocess.Popen(line, shell=True)).argv == ['/bin/sh', '-c', line]
    assert started(lambda: subprocess.Popen(line.encode(), shell=True, executable='/bin/bash')).argv \
        == ['/bin/bash', '-c', line]
    assert started(lambda: subprocess.Popen(['name', MARK], executable='/bin/true')).argv == ['/bin/true', MARK]


def test_what_it_is_started_with(monkeypatch):
    monkeypatch.setenv('SAME', 'x')
    found = started(lambda: subprocess.Popen([MARK], env={'SAME': 'x', 'NEW': 'y'}, cwd=b'/tmp'))
    assert (found.env, found.cwd) == ({'NEW': 'y'}, '/tmp')


@given(st.text(st.characters(exclude_characters='\0', exclude_categories=('Cs',))))
def test_any_quoting(text):
    """The plugin quotes as it likes: what it made is taken as it is."""
    line = f'sh -c {shlex.quote(text + MARK)}'
    for argument in (line, json.dumps({'command': [line]}), shlex.quote(line)):
        assert started(lambda argument=argument: subprocess.Popen(['x', argument])).argv == ['x', argument]


def test_others_are_started():
    with piped.watched(MARK, None):
        assert subprocess.check_output([sys.executable, '-c', 'print(1)']) == b'1\n'


def test_others_that_go_on_are_known():
    """A tunnel, without which the command would lead nowhere."""
    with piped.watched(MARK, None) as others:
        subprocess.run(['true'], check=True)
        process = Popen(['cat'], stdin=subprocess.PIPE)
    assert [each.poll() is None for each in others] == [False, True]
    process.stdin.close()
    assert process.wait() == 0


def test_other_threads_are_left_alone():
    found = []

    def work():
        found.append(subprocess.run([sys.executable, '-c', f'print("{MARK}")'], capture_output=True, check=True).stdout)
    with piped.watched(MARK, None):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [MARK.encode() + b'\n']


def test_afterwards_all_is_as_before():
    before = subprocess.Popen.__init__
    started(lambda: Popen([MARK]))
    assert subprocess.Popen.__init__ is before
    assert MARK in subprocess.check_output(['echo', MARK], text=True)


def test_from_another_host():
    """What a plugin wants to know first, it asks there."""
    asked = []

    def run(argv, data):
        asked.append((argv, data))
        return 3, b'out', b'err'
    with piped.watched(MARK, run):
        with subprocess.Popen(['docker', 'version'], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.communicate(b'in') == (b'out', b'err')
            assert (process.returncode, process.wait(), process.poll()) == (3, 3, 3)
        assert subprocess.run(['podman', 'inspect'], capture_output=True, text=True, check=False).stdout == 'out'
        assert subprocess.call(['true']) == 3
        with Popen(['look'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert (process.stdout.read(), process.wait()) == ('outerr', 3)
    assert asked == [(['docker', 'version'], b'in'), (['podman', 'inspect'], b''), (['true'], b''), (['look'], b'')]


def test_a_watch_within_a_watch():
    """Of the host on the way, while its own command is looked for there."""
    def run(argv, data):
        assert started(lambda: Popen(['inner', MARK])).argv == ['inner', MARK]
        assert subprocess.check_output(['echo', 'here'], text=True) == 'here\n'
        return 0, b'', b''
    before = subprocess.Popen.__init__

    def outer():
        subprocess.run(['look'], check=True)
        Popen(['outer', MARK])
    assert started(outer, run).argv == ['outer', MARK]
    assert subprocess.Popen.__init__ is before


class Bare:
    transport = 'nothing'


class Library:
    transport = 'community.general.lxc'


@pytest.mark.parametrize(('cls', 'runs'), [(Bare, True), (Library, True), (dict, False)])
def test_which_classes_run_commands(cls, runs):
    """This module has subprocess, as those of such plugins."""
    assert piped.runs_commands(cls) is runs


def test_watches_take_turns():
    """Of many threads each finds its own, and nothing is left of any."""
    before, found = subprocess.Popen.__init__, []

    def work(number):
        for turn in range(50):
            line = f'{MARK} {number} {turn}'
            try:
                with piped.watched(MARK, None):
                    Popen(['x', line])
            except piped.Command as command:
                found.append(command.argv == ['x', line])
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 400
    assert subprocess.Popen.__init__ is before


@pytest.mark.parametrize(('argv', 'manner'), [
    (['sh', '-c', 'read x; echo "heard $x"'], piped.AS_IT_IS),
    # As `podman exec` is without -i.
    (['sh', '-c', 'if [ "$2" = -i ]; then read x; fi; echo "heard $x"', 'sh', 'exec'], piped.INTERACTIVE),
    (['sh', '-c', 'echo "heard $x"', 'sh', 'exec'], None), (['/does/not/exist'], None),
])
def test_does_it_hear(argv, manner):
    command = piped.Command(argv, {}, None)
    heard = [each for each in (piped.AS_IT_IS, piped.INTERACTIVE) if command.hears(each, None)]
    assert heard[:1] == ([manner] if manner else [])
