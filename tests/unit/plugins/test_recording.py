"""What Ansible's own plugins build is recognised exactly; no other command line is taken for it."""

from __future__ import annotations

import shlex

import pytest
from ansible.plugins.loader import become_loader, shell_loader
from hypothesis import given
from hypothesis import strategies as st

from tests.support import collection

recording = collection.load('plugins.plugin_utils._compat.recording')

INTERPRETERS = ['/usr/bin/python3', '/opt/my env/bin/python', '/usr/bin/env python3', 'python3']
names = st.sampled_from(['PATH', 'LANG', 'http_proxy', 'X'])
texts = st.text("a'\"\\ \n$;&|>*~\xe9#=", max_size=8)
environments = st.dictionaries(names, texts, max_size=3)
executables = st.sampled_from(['/bin/sh', '/bin/bash', '/usr/bin/env sh'])
users = st.sampled_from([None, 'root', 'www-data', "o'brien"])


class Actor:
    """Asks the plugins for command lines as an action and its connection do."""

    def __init__(self, user=None, password=None, flags='-H -S -n'):
        self.notes = recording.Notes()
        self.shell = shell_loader.get('sh')
        recording.record_shell(self.shell, self.notes)
        self.become = None
        if user:
            self.become = become_loader.get('sudo')
            self.become.set_options(direct={'become_user': user, 'become_pass': password, 'become_flags': flags})
            recording.record_become(self.become, self.notes)

    def module(self, environment, interpreter):
        prefix = self.shell.env_prefix(**environment)
        return self.shell.build_module_command(prefix, '#!' + interpreter, '', arg_path=None).strip()

    def line(self, command, executable, sleep):
        """ActionBase._low_level_execute_command."""
        if self.become:
            command = self.become.build_become_command(command, self.shell)
        if sleep:
            command = self.shell.append_command(command, 'sleep 0')
        return executable + ' -c ' + shlex.quote(command)

    def explain(self, line):
        return recording.explain(self.notes, line)


@given(environments, st.sampled_from(INTERPRETERS), executables, users, st.booleans())
def test_modules(environment, interpreter, executable, user, sleep):
    actor = Actor(user, 'secret')
    command = actor.module(environment, interpreter)
    meaning = actor.explain(actor.line(command, executable, sleep))
    # Where several words are quoted to one (later releases of 2.18 and 2.19, and 2.21), what a shell makes of that is
    # left to it.
    known = ' ' not in interpreter or interpreter not in shlex.split(command)
    assert (meaning.interpreter, meaning.environment) == ((interpreter, environment) if known else (None, None))
    assert meaning.argv == [*shlex.split(executable), '-c', command]
    assert meaning.become is actor.become
    assert meaning.home_of is None


@pytest.mark.parametrize('name', ['A-B', '1A', '', 'Ä', 'A\n'])
def test_variables_that_no_shell_sets(name):
    """The shell takes such a word for a command: it has to see it."""
    actor = Actor()
    meaning = actor.explain(actor.line(actor.module({'GOOD': '1', name: '2'}, 'python3'), '/bin/sh', False))
    assert meaning.interpreter is None and meaning.environment is None


@given(texts.filter(bool), executables, users, st.booleans())
def test_commands(command, executable, user, sleep):
    actor = Actor(user)
    meaning = actor.explain(actor.line(command, executable, sleep))
    assert meaning.argv == [*shlex.split(executable), '-c', command]
    assert (meaning.command, meaning.become) == (command, actor.become)
    assert meaning.interpreter is None and meaning.environment is None and meaning.home_of is None


@pytest.mark.parametrize('path, user', [('~', ''), ('~/.ansible/tmp', ''), ('~', 'bob'), ('/tmp', '')])
@pytest.mark.parametrize('sleep', [True, False])
def test_expansions(path, user, sleep):
    actor = Actor()
    command = actor.shell.expand_user(path, username=user)
    assert actor.explain(actor.line(command, '/bin/sh', sleep)).home_of == path + user


def unchanged(meaning, line):
    """It runs as what it is."""
    assert meaning.line == line
    assert meaning.interpreter is None and meaning.environment is None and meaning.become is None
    if meaning.argv is not None:
        assert meaning.argv == shlex.split(line)
        assert line.endswith(' -c ' + shlex.quote(meaning.argv[-1]))


@given(st.text("a'\"\\ \n$-c&\xe9/bin/sh", max_size=30))
def test_any_line_without_notes(line):
    unchanged(Actor().explain(line), line)


@given(environments, st.sampled_from(INTERPRETERS), users, st.booleans(), st.integers(0),
       st.sampled_from(list("a'\"\\ ;|&$\n")))
def test_a_changed_line_is_another_line(environment, interpreter, user, sleep, at, char):
    """One character more anywhere, and nothing is taken to be known but what still is, word for word."""
    actor = Actor(user)
    line = actor.line(actor.module(environment, interpreter), '/bin/sh', sleep)
    at %= len(line) + 1
    line = line[:at] + char + line[at:]
    meaning = actor.explain(line)
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    command = words[-1] if words else None
    if command in actor.notes.appended or command in actor.notes.becomes or command in actor.notes.modules:
        assert meaning.argv is None or line.endswith(' -c ' + shlex.quote(command))
    else:
        unchanged(meaning, line)


@pytest.mark.parametrize('line', [
    '', ' ', '/bin/sh', '/bin/sh -c', "/bin/sh -c 'id' more", "'unbalanced", '/bin/sh -c id;id', '/bin/sh -c "$(id)"',
    '/bin/sh -c $HOME', "/bin/sh  -c 'x y'", "/bin/sh -c x\\ y", "X=1 /bin/sh -c 'x y'", "/bin/sh -c 'a' -c 'b c'",
    "a | /bin/sh -c 'x y'", "/bin/sh -c 'x y' ", "$SHELL -c 'x y'", "~/sh -c 'x y'", "a>b -c 'x y'", "a;b -c 'x y'",
    "a&&b -c 'x y'", "`a` -c 'x y'", "a* -c 'x y'", "#a -c 'x y'", "a\nb -c 'x y'", "'X' -c 'x y'",
])
def test_lines_for_a_shell_are_no_argv(line):
    """What a shell would read in any other way than we do goes to a shell."""
    assert Actor().explain(line).argv is None


def test_the_environment_must_be_known():
    actor = Actor()
    command = actor.shell.build_module_command('MADE=elsewhere', '#!python3', '').strip()
    meaning = actor.explain(actor.line(command, '/bin/sh', False))
    assert meaning.interpreter is None and meaning.argv == ['/bin/sh', '-c', command]


@pytest.mark.parametrize('cmd, arg_path', [
    ('/tmp/module.py', None), ('', '/tmp/args'), ('/tmp/module.py', '/tmp/args')])
def test_modules_in_files_are_commands(cmd, arg_path):
    actor = Actor()
    command = actor.shell.build_module_command('', '#!/usr/bin/python3', cmd, arg_path=arg_path)
    assert actor.explain(actor.line(command, '/bin/sh', False)).interpreter is None


def test_notes_are_bounded():
    actor = Actor('root')
    for i in range(1000):
        actor.line(actor.module({'X': str(i)}, 'python3'), '/bin/sh', True)
        actor.shell.expand_user(f'~/{i}')
    for notes in vars(actor.notes).values():
        assert 0 < len(notes) <= recording.MAX_NOTES


def test_recording_changes_nothing_else():
    actor, stock = Actor('root'), shell_loader.get('sh')
    assert type(actor.shell).__name__ == type(stock).__name__
    assert type(actor.shell).__module__ == type(stock).__module__
    assert isinstance(actor.shell, type(stock))
    for method in ('remove', 'exists', 'chmod', 'mkdtemp'):
        assert getattr(type(actor.shell), method) == getattr(type(stock), method)
    command = stock.build_module_command(stock.env_prefix(A='b'), '#!python3', '')
    assert actor.module({'A': 'b'}, 'python3') == command.strip()
    assert actor.become.name == 'sudo'
    assert 'sudo' in actor.line('id', '/bin/sh', False)
    # A plugin that is shared is recorded once more, for its new owner, not twice.
    other = recording.Notes()
    recording.record_shell(actor.shell, other)
    recording.record_become(actor.become, other)
    actor.line(actor.module({}, 'python3'), '/bin/sh', False)
    assert len(other.modules) == len(other.becomes) == 1
