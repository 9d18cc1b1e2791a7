"""What action plugins of ansible-core ask for after their first `stat`, found before its answer is there.

copy: _copy_file(source_full, source_rel, content, content_tempfile, dest, task_vars, follow) compares a file with what
_execute_remote_stat(path, all_vars, follow, checksum) returns; where that has the same checksum, it calls
_execute_module(module_name, module_args, task_vars) once, else it transfers the file and does so; whoever calls it has
all files in its local `source_files`;
assemble: `run` makes a file by _assemble_from_fragments, and goes on in the same way;
_remove_tempfile_if_content_defined and DataLoader.cleanup_tmp_file remove what it needs no more.  unarchive stops where
the answer is no folder.  _low_level_execute_command, _transfer_file, _find_needle, _is_pipelining_enabled: 2.16-2.21.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from .loops import Outcome

# Answers of `stat`: where there is nothing, and where there is something that is no folder.
ABSENT = {'exists': False}
FILE = {'exists': True, 'isdir': False}
FOLDER = {'exists': True, 'isdir': True}
# Larger files are looked at and sent when it is known that they are wanted.
MOST = 64 << 10


class _Unclear(Exception):
    """More than one request would follow."""


class _Same(str):
    """The checksum of a file that is the same as whichever it is compared with."""

    __slots__ = ('other',)
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        self.other = other
        return True

    def __ne__(self, other: object) -> bool:
        return not self == other


class _Loader:
    """A DataLoader that keeps temporary files for a second run."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self._found: dict[Any, str] = {}
        self._files: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def get_real_file(self, path: str, decrypt: bool = True) -> str:
        if (path, decrypt) not in self._found:
            self._found[path, decrypt] = self.loader.get_real_file(path, decrypt=decrypt)
        return self._found[path, decrypt]

    def cleanup_tmp_file(self, path: str) -> None:
        self._files.add(path)

    def end(self) -> None:
        """Remove what is needed no more."""
        for path in self._files:
            self.loader.cleanup_tmp_file(path)


def foresee(name: str, handler: Any, connection: Any, again: type[BaseException]) -> None:
    """Have the connection guess what the plugin's first `stat` will say; `again` is what it raises if it was wrong."""
    if name == 'copy':
        handler._copy_file = _Copied(handler, connection, again)
    elif name == 'assemble':
        handler.run = _Assembled(handler, connection)
    elif name in ('fetch', 'unarchive'):
        stock = handler._execute_remote_stat

        def stat(path: str, *args: Any, **kwargs: Any) -> Any:
            if name == 'fetch':
                connection.will_fetch(path)
            elif _may_guess(handler, connection):
                connection.guess([FOLDER])
            return stock(path, *args, **kwargs)
        handler._execute_remote_stat = stat


def is_folder(handler: Any) -> bool:
    """Is what the action copies a folder?"""
    source = handler._task.args.get('src')
    try:
        if not isinstance(source, str) or boolean(handler._task.args.get('remote_src', False), strict=False):
            return False
        return os.path.isdir(handler._find_needle('files', source))
    except (AnsibleError, TypeError):
        return False


def _only_looks(handler: Any) -> bool:
    return any(getattr(one, name, False) for one in (handler._task, handler._play_context)
               for name in ('check_mode', 'diff'))


def _may_guess(handler: Any, connection: Any) -> bool:
    return bool(connection.acts() and not _only_looks(handler) and handler._is_pipelining_enabled('new'))


class _Copied:
    """In place of a copy's `_copy_file`: of a folder's files, those after the first are under way at the same time."""

    def __init__(self, handler: Any, connection: Any, again: type[BaseException]) -> None:
        self._handler, self._connection, self._again = handler, connection, again
        self._one = _CopiedFile(handler, connection)
        self._lane: Any = None
        self._number = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        number, self._number = self._number, self._number + 1
        if number == 1 and not kwargs and not _only_looks(self._handler) and not self._handler._task.timeout:
            found = sys._getframe(1).f_locals.get('source_files')
            if found and len(found['files']) > 2 and found['files'][1] == args[:2]:
                self._lane = self._connection.lane_of_files(
                    Files(self._handler, self._connection, found['files'], args[2:], self._again))
        if not self._lane:
            return self._one(*args, **kwargs)
        over = True
        try:
            result = self._lane.take(None, {})
            over = self._lane.has_taken_all or bool(result and result.get('failed'))
            return result
        finally:
            if over:
                self._lane.close()


class Files:
    """A folder's files from the second on, as a loop whose items are (full path, path in the folder)."""

    variables: dict[str, Any] = {}

    def __init__(self, handler: Any, connection: Any, files: list[Any], rest: tuple[Any, ...],
                 again: type[BaseException]) -> None:
        """`rest`: what `_copy_file` gets besides."""
        self.items, self.number = files, 1
        self._handler, self._connection, self._rest, self._again = handler, connection, rest, again
        self._context = contextvars.copy_context()

    def in_context(self, work: Callable[[], None]) -> Callable[[], None]:
        return functools.partial(self._context.copy().run, work)

    def slot(self) -> Any:
        """A twin of the plugin with a connection of its own."""
        found = copy.copy(self._handler)
        for name in ('run', '_copy_file'):
            found.__dict__.pop(name, None)
        found._connection = self._connection.twin()
        return found

    def run(self, slot: Any, number: int) -> Outcome:
        outcome = Outcome()
        with outcome.kept():
            outcome.value = self._copy(slot, *self.items[number])
            outcome.ends = bool(outcome.value and outcome.value.get('failed'))
        return outcome

    def _copy(self, slot: Any, *which: Any) -> Any:
        connection = slot._connection
        connection.begin_action(False)
        try:
            return connection.concluded(lambda: _CopiedFile(slot, connection)(*which, *self._rest))
        except self._again:
            connection.no_action()
        return slot._copy_file(*which, *self._rest)

    def take(self, executor: Any, arguments: dict[str, Any], outcome: Outcome) -> Any:
        outcome.tell()
        return outcome.value


class _CopiedFile:
    """One file."""

    def __init__(self, handler: Any, connection: Any) -> None:
        self._handler, self._connection = handler, connection
        self._stock = handler._copy_file

    def __call__(self, source: str, *rest: Any, **kwargs: Any) -> Any:
        handler = self._handler
        if not _may_guess(handler, self._connection) or not _is_small(source) \
                or not boolean(handler._task.args.get('force', True), strict=False):
            return self._stock(source, *rest, **kwargs)
        handler._loader = loader = _Loader(handler._loader)
        try:
            return self._guessed(source, *rest, **kwargs)
        finally:
            handler._loader = loader.loader
            loader.end()

    def _guessed(self, *args: Any, **kwargs: Any) -> Any:
        handler, connection = self._handler, self._connection
        same = _if_same(handler, lambda twin: type(handler)._copy_file(twin, *args, **kwargs),
                        {'_remove_tempfile_if_content_defined': _nothing})
        if same is None:
            return self._stock(*args, **kwargs)
        _guess(connection, handler, *same)
        found, answers = self._if_other(args, kwargs)
        if answers is None:
            return found
        with connection.knows(answers):
            return self._stock(*args, **kwargs)

    def _if_other(self, args: Any, kwargs: Any) -> tuple[Any, list[Any] | None]:
        """What `_copy_file` returns, or answers that another run of it is to get."""
        with _put_off(self._handler, '_remove_tempfile_if_content_defined') as removals:
            try:
                return self._stock(*args, **kwargs), None
            except BaseException as e:
                answers = getattr(e, 'answers', None)
                if answers is None:
                    raise
                removals.clear()
                return None, answers
            finally:
                self._connection.guess_no_more()


class _Assembled:
    """In place of the `run` of an assemble."""

    def __init__(self, handler: Any, connection: Any) -> None:
        self._handler, self._connection = handler, connection
        self._run, self._assemble = handler.run, handler._assemble_from_fragments
        self._path = ''

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        handler, arguments = self._handler, dict(self._handler._task.args)
        if not _may_guess(handler, self._connection):
            return self._run(*args, **kwargs)
        handler._assemble_from_fragments, handler._execute_remote_stat = self._noted, self._stat
        with _put_off(handler, '_remove_tmp_path') as removals:
            try:
                return self._run(*args, **kwargs)
            except BaseException as e:
                answers = getattr(e, 'answers', [])
                if len(answers) < 2:
                    raise
                removals.clear()
            finally:
                self._connection.guess_no_more()
                del handler._assemble_from_fragments, handler._execute_remote_stat
        handler._task.args = arguments
        with self._connection.knows(answers):
            return self._run(*args, **kwargs)

    def _noted(self, *args: Any, **kwargs: Any) -> Any:
        self._path = self._assemble(*args, **kwargs)
        return self._path

    def _stat(self, path: str, all_vars: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_small(self._path):
            handler = self._handler
            same = _if_same(handler, lambda twin: twin.run(task_vars=all_vars), dict(
                _assemble_from_fragments=lambda *_, **__: self._path, _remove_tmp_path=_nothing,
                _remote_expand_user=lambda *_, **__: path))
            if same:
                _guess(self._connection, handler, *same)
        return type(self._handler)._execute_remote_stat(self._handler, path, all_vars, *args, **kwargs)


@contextlib.contextmanager
def _put_off(handler: Any, name: str) -> Iterator[list[Any]]:
    """Calls of a method of the plugin are in this list, and made when this is left, whatever happened meanwhile."""
    calls: list[Any] = []
    setattr(handler, name, lambda *args, **kwargs: calls.append((args, kwargs)))
    try:
        yield calls
    finally:
        delattr(handler, name)
        for args, kwargs in calls:
            getattr(handler, name)(*args, **kwargs)


def _guess(connection: Any, handler: Any, checksum: str, request: dict[str, Any]) -> None:
    connection.guess([ABSENT, FILE], dict(FILE, checksum=checksum), lambda: handler._execute_module(**request))


def _if_same(handler: Any, run: Callable[[Any], Any], instead: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """What a file's checksum is, and the request that run(a twin of the plugin) would make if the target's was it.

    `instead`: what the twin has in place of its own methods.
    """
    same, requests = _Same(), []

    def note(**request: Any) -> dict[str, Any]:
        requests.append(dict(request, module_args=dict(request['module_args'])))
        return {}
    twin = copy.copy(handler)
    twin.__dict__.pop('run', None)
    vars(twin).update(instead, _execute_remote_stat=_once(dict(FILE, checksum=same)), _execute_module=note,
                      _transfer_file=_unclear, _low_level_execute_command=_unclear)
    try:
        run(twin)
    except (AnsibleError, OSError, TypeError, LookupError, _Unclear):
        return None  # what it is, stock will find too
    other = getattr(same, 'other', None)
    return (str(other), requests[0]) if len(requests) == 1 and isinstance(other, str) else None


def _is_small(path: str) -> bool:
    try:
        return os.path.getsize(path) <= MOST
    except OSError:
        return False


def _once(answer: Any) -> Callable[..., Any]:
    answers = [answer]

    def ask(*args: Any, **kwargs: Any) -> Any:
        if not answers:
            raise _Unclear
        return answers.pop()
    return ask


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


def _unclear(*args: Any, **kwargs: Any) -> Any:
    raise _Unclear
