"""Learns what Ansible is about to do from the plugins that build its command lines.

A subclass of the shell plugin, and one of the become plugin, note what they were asked for and the string that they
returned.  `exec_command` then gets such a string, in a known wrapping, and is told what it means.  What is not found
among the notes is a command line like any other.

Methods that are overridden, all public to plugin authors: ShellBase.env_prefix, build_module_command, append_command,
expand_user; BecomeBase.build_become_command.  2.16-2.20 append ' && sleep 0' to most commands by append_command.
"""

from __future__ import annotations

import functools
import re
import shlex
from typing import Any

MAX_NOTES = 64
# What a shell takes for a variable's name.
IDENTIFIER = re.compile(r'[A-Za-z_][A-Za-z0-9_]*\Z')


class Notes:
    """What the plugins of one connection built lately: string -> where it came from."""

    def __init__(self) -> None:
        self.modules: dict[str, tuple[dict[str, str] | None, str]] = {}
        self.environments: dict[str, dict[str, str]] = {}
        self.becomes: dict[str, tuple[str, Any]] = {}
        self.appended: dict[str, str] = {}
        self.expansions: dict[str, str] = {}

    def note(self, kind: str, result: Any, meaning: Any) -> None:
        notes = getattr(self, kind)
        if isinstance(result, str) and result:
            if len(notes) >= MAX_NOTES:
                notes.clear()
            notes[result] = meaning


class Meaning:
    """What a command line is: `command` (or the whole line, where `argv` is None) run by `shell`, maybe by another
    account (`become`: the plugin), maybe a module on stdin (`interpreter` and `environment`), maybe the expansion of a
    '~' (`home_of`)."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.argv: list[str] | None = None
        self.command = ''
        self.become: Any = None
        self.interpreter: str | None = None
        self.environment: dict[str, str] | None = None
        self.home_of: str | None = None


def explain(notes: Notes, line: str) -> Meaning:
    """The meaning of what exec_command was given."""
    meaning = Meaning(line)
    if line in notes.becomes:  # of `raw`: without a shell around it
        meaning.command, meaning.become = notes.becomes[line]
        meaning.argv = ['/bin/sh', '-c', meaning.command]
        return meaning
    try:
        words = shlex.split(line)
    except ValueError:
        return meaning
    # Only the last word may hold what a shell would not take as it is.
    plain = all(word == shlex.quote(word) for word in words[:-1]) and '=' not in line.partition(' ')[0]
    if len(words) < 3 or words[-2] != '-c' or not plain or line != ' '.join(shlex.quote(word) for word in words):
        return meaning
    command = notes.appended.get(words[-1], words[-1])
    if command in notes.becomes:
        command, meaning.become = notes.becomes[command]
        command = notes.appended.get(command, command)
    meaning.argv = [*words[:-1], command]
    meaning.command = command
    if command in notes.modules:
        environment, interpreter = notes.modules[command]
        if environment is not None:
            meaning.environment, meaning.interpreter = environment, interpreter
    meaning.home_of = notes.expansions.get(command)
    return meaning


def record_shell(shell: Any, notes: Notes) -> None:
    """Make a shell plugin's instance take notes."""
    shell.__class__ = _recording_shell(type(shell))  # type: ignore[arg-type]
    shell._mitosis_notes = notes


@functools.cache
def _recording_shell(cls: Any) -> Any:
    if hasattr(cls, '_mitosis_notes'):
        return cls

    class Recording(cls):
        def env_prefix(self, **kwargs: Any) -> Any:
            result = super().env_prefix(**kwargs)
            if all(IDENTIFIER.match(name) for name in kwargs):  # else the shell takes the first word for a command
                self._mitosis_notes.note('environments', result,
                                         {key: str(value) for key, value in kwargs.items()})
            return result

        def build_module_command(self, env_string: Any, shebang: Any, cmd: Any, arg_path: Any = None) -> Any:
            result = super().build_module_command(env_string, shebang, cmd, arg_path=arg_path)
            if isinstance(result, str) and shebang and not cmd and not arg_path:
                environment = self._mitosis_notes.environments.get(env_string) if env_string.strip() else {}
                interpreter = shebang.replace('#!', '', 1).strip()
                # From 2.21 on it is one word, even if it looks like several: then there is no such command.
                if ' ' not in interpreter or shlex.quote(interpreter) not in result:
                    self._mitosis_notes.note('modules', result.strip(), (environment, interpreter))
            return result

        def append_command(self, cmd: Any, cmd_to_append: Any) -> Any:
            result = super().append_command(cmd, cmd_to_append)
            if cmd_to_append == 'sleep 0':
                self._mitosis_notes.note('appended', result, cmd)
            return result

        def expand_user(self, user_home_path: Any, username: Any = '') -> Any:
            result = super().expand_user(user_home_path, username=username)
            self._mitosis_notes.note('expansions', result, user_home_path + (username or ''))
            return result

    _take_place(Recording, cls)
    return Recording


def record_become(become: Any, notes: Notes) -> None:
    """Make a become plugin's instance take notes."""
    become.__class__ = _recording_become(type(become))  # type: ignore[arg-type]
    become._mitosis_notes = notes


@functools.cache
def _recording_become(cls: Any) -> Any:
    if hasattr(cls, '_mitosis_notes'):
        return cls

    class Recording(cls):
        def build_become_command(self, cmd: Any, shell: Any) -> Any:
            result = super().build_become_command(cmd, shell)
            if self._mitosis_notes is not None and cmd:
                self._mitosis_notes.note('becomes', result, (cmd, self))
            return result

    _take_place(Recording, cls)
    return Recording


def _take_place(recording: Any, cls: Any) -> None:
    """Ansible tells a plugin's type, and finds its options, by the name of its class."""
    recording.__name__, recording.__qualname__, recording.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    recording._mitosis_notes = None
