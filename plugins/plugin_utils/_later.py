"""Requests of an action whose answers are known before they are given: docs/decisions/0015-not-waited-for.md.

They are sent, and the action goes on.  What it asks for next goes into the same lane, where it is begun only if all
answers before it were the expected ones.  If one was not, the action is run again from its beginning, and waits.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from ansible import constants as C
from ansible.errors import AnsibleError

from ...mitogen_core.controller.client import Client, chunks, writes
from ...mitogen_core.wire.errors import CallError
from . import _modules, _runtime
from ._compat import handlers
from ._guesses import MOST as MOST_GUESSED
from ._guesses import NOTHING, OTHER, SAME, STAT, Again, Guess
from ._login import Stock

# As ShellBase.mkdtemp says it, with nothing in its words that a shell would change.
_WORD = r'([\w./:@%+,-]+)'
_MAKE = re.compile(rf'\( umask 77 && mkdir -p "` echo {_WORD} `"\s?&& mkdir "` echo {_WORD} `"'
                   rf' && echo {_WORD}="` echo {_WORD} `" \)')
_REMOVE = re.compile(rf'rm -f -r {_WORD} > /dev/null 2>&1')
# What is on its way without being waited for, in bytes of files.
MOST = 1 << 20
# The answer to a write.
WRITTEN: list[Any] = [None, b'']
# What the letters of `chmod u+` are.
BITS = {'r': 0o400, 'w': 0o200, 'x': 0o100}

_numbers = itertools.count(1)


class Expected(NamedTuple):
    """What a command will most likely do: exit with 0, having printed this, made or removed a folder, or given files
    more bits of their modes."""

    out: bytes = b''
    makes: str = ''
    removes: str = ''
    paths: tuple[str, ...] = ()
    bits: int = 0

    @property
    def answer(self) -> list[Any]:
        return list(WRITTEN) if self.paths else [{'rc': 0, 'out': len(self.out)}, self.out]


class Pending(NamedTuple):
    """A request that is not waited for.  `expected`: its answer, or a guess of it."""

    handle: int
    what: str
    expected: list[Any] | Guess
    context: int


class Later:
    """What one run of an action does not wait for, in lanes of this name; what is waited for ends its lane."""

    def __init__(self, name: str, makes: bool = True, folder: str | None = None, item: Any = None) -> None:
        """`makes`: is what it makes to be removed with its context?  `folder`: one that it has made before.  `item`: of
        a loop, in whose lane it is."""
        self.name, self.makes, self._item = name, makes, item
        self._client: Client | None = None
        # That of its folder.
        self.context: int | None = None
        # Of the run of this action that is on; afterwards only its folders are removed.
        self.on = True
        self.folders: set[str] = {folder.rstrip('/')} if folder else set()
        # Of these, those that may not be there.
        self.made: set[str] = set()
        self.guess: Guess | None = None
        self._pending: list[Pending] = []
        # Where the next request of a context goes: a lane's name, and a number.
        self._places: dict[int, list[Any]] = {}
        self._place: list[Any] = []
        # Is what is pending in a loop's lane?  What follows is too, whatever becomes of the loop.
        self._shares = False
        self._lane = 0
        self._bytes = 0

    @property
    def pending(self) -> bool:
        return bool(self._pending)

    def elsewhere(self, context: int) -> bool:
        """Is another context to answer?"""
        return any(one.context != context for one in self._pending)

    def terms(self, context: int) -> dict[str, Any]:
        """Of the next request to a context: a lane, its number in it, and what is to be chosen there before."""
        self._place = self._place_for(context)
        terms: dict[str, Any] = {'lane': list(self._place)}
        if any(isinstance(one.expected, Guess) and one.context == context for one in self._pending):
            terms['choice'] = OTHER
        return terms

    def expects(self, command: str) -> Expected | None:
        """What a command of an action answers, if that is known."""
        made = _MAKE.fullmatch(command) if self.on else None
        if made:
            parent, path, name, again = made.groups()
            if path == again == f'{parent.rstrip("/")}/{name}' and parent.startswith('/'):
                self.folders.add(path)
                return Expected(f'{name}={path}\n'.encode(), makes=path)
        removed = _REMOVE.fullmatch(command)
        if removed and removed.group(1).rstrip('/') in self.folders:
            return Expected(removes=removed.group(1).rstrip('/'))
        if self.on and command.startswith('chmod u+'):
            mode, *paths = _words(command)[1:] or ['']
            if paths and re.fullmatch(r'u\+[rwx]+', mode) and all(map(self.holds, paths)):
                return Expected(paths=tuple(paths), bits=sum(BITS[letter] for letter in set(mode[2:])))
        return None

    def holds(self, path: str) -> bool:
        """Is it a folder of this action, or in one?"""
        return any(path.rstrip('/') == folder or path.startswith(folder + '/') for folder in self.folders)

    def takes(self, path: str, size: int) -> bool:
        """May a file of this size be written without waiting for it?"""
        if not self.on or not self.holds(path) or '..' in path.split('/') or self._bytes + size > MOST:
            return False
        self._bytes += size
        return True

    def add(self, client: Client, handle: int, what: str, expected: list[Any] | Guess, context: int) -> None:
        self._client = client
        self.passed()
        self._pending.append(Pending(handle, what, expected, context))

    def _place_for(self, context: int) -> list[Any]:
        item = self._item
        if item and (item.holds(context) or (self._shares and context == item.context)):
            place: list[Any] = item.lane
            return place
        if item:
            item.alone()
        return self._places.setdefault(context, [f'{self.name}.{self._lane}', 0])

    def last_terms(self) -> dict[str, Any]:
        """Of a request that is waited for."""
        terms = self.terms(self._pending[-1].context)
        return terms if self._item and self._place is self._item.lane else dict(terms, lane=[*terms['lane'], 'last'])

    def passed(self) -> None:
        """One more request is on its way, on the last terms."""
        self._place[1] += 1
        self._shares = bool(self._item) and self._place is self._item.lane

    def forget(self) -> None:
        """The answers will not come."""
        self._pending, self._bytes, self.guess = [], 0, None
        self._places.clear()
        self._shares = False
        self._lane += 1

    def abandon(self, client: Client) -> None:
        """They do not matter any more."""
        if client is self._client:
            for one in self._pending:
                client.forget(one.handle)
        self.forget()

    def settle(self, client: Client) -> None:
        """Wait for all that was not waited for; raises Again."""
        pending, wrong = self._pending, bool(self._pending) and client is not self._client
        self.forget()
        if wrong:
            raise Again
        guess = None
        for one in pending:
            answer = _answer_of(client, one.handle, one.what)
            if isinstance(one.expected, Guess):
                guess = one.expected
                guess.take(answer)
            elif guess is None or guess.choice == OTHER:
                wrong |= answer != one.expected
        if self._item and (wrong or (guess and guess.choice is None)):
            self._item.alone()  # its lane has ended
        if wrong:
            raise Again
        if guess is None:
            return
        if guess.same is not None and guess.choice == SAME:
            self.on = False
        elif guess.same is not None:
            client.forget(guess.same)
        if guess.choice != OTHER:
            raise guess.known(lambda handle: _modules.answer_of(client, handle))


def _answer_of(client: Client, handle: int, what: str) -> list[Any] | None:
    try:
        return list(client.wait(handle, what))
    except CallError:
        return None


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


class Unawaited:
    """Mixin of connections."""

    alone: Any
    _attempt: Any
    _context: Any
    _shell: Any
    forget_read: Any
    transport: str
    # The action plugin that is at work, where it is one of ansible-core's.
    acting: str | None = None
    # One of several that an action uses at the same time?
    is_twin = False
    _later: Later | None = None
    # What is known of contexts while an action runs: their keys and ids.
    ways: dict[Any, Any] | None = None
    # Answers of modules that have run already.
    _known: list[Any] = []

    @staticmethod
    def tell_of_actions() -> None:
        """In a worker: have begin_action and the others called."""
        handlers.install(Again)

    def begin_action(self, job: bool) -> None:
        """`job`: it may go on when its answer has come, and this run has ended."""
        if not self.is_twin:
            self.ways = {}
        if self.transport != 'local':  # whose files are copied by stock
            self._later = Later(f'{os.getpid()}.{next(_numbers)}', not job, self._shell.tmpdir, _runtime.item())

    @staticmethod
    def only_in_turn() -> None:
        """What follows may depend on items of a loop that are before this one."""
        item = _runtime.item()
        if item:
            item.begin_in_turn()

    def acts(self) -> bool:
        """Is an action between begin_action and end_action?"""
        return self._later is not None and self._later.on

    def end_action(self) -> None:
        """Its `run` is over, and may only remove its folders."""
        self.forget_read()
        if not self.is_twin:
            self.ways = None
        if self._later and self._later.pending:
            try:
                self._attempt(self._later.settle)
            except Stock as e:
                raise Again from e
        if self._later:
            self._later.on = False

    def no_action(self) -> None:
        """What it does from here on is waited for."""
        self.ways = None
        self.alone()
        later, self._later = self._later, None
        if later and later.context is not None and not C.DEFAULT_KEEP_REMOTE_FILES:
            for folder in later.made:
                with contextlib.suppress(Stock, AnsibleError):
                    self._attempt(lambda client, context=later.context, folder=folder: client.tell_to(
                        context, 'processes', 'exec', {'argv': ['rm', '-rf', '--', folder], 'removes': folder}))

    def settle(self, client: Client) -> None:
        """Wait for all that was not waited for."""
        if self._later:
            self._later.settle(client)

    def settle_for(self, client: Client, become: Any, interpreter: str | None = None) -> None:
        """The same, unless what follows is for the same context."""
        later = self._later
        if later and later.pending:
            if later.guess and later.guess.handle is not None:
                later.guess.go_on()
            if later.elsewhere(self._context(client, become, interpreter)):
                later.settle(client)

    @contextlib.contextmanager
    def in_lane(self, client: Client, args: dict[str, Any], changes: bool = False) -> Iterator[None]:
        """Around a request with these arguments that is waited for: it is begun only if all went as expected before.
        All that is pending is for its context.

        `changes`: after it the action can't be run again as if it had done nothing.
        """
        later = self._later
        if later and later.pending:
            with self._behind(later, client, args):
                yield
        else:
            yield
        if later and changes:
            later.on = False

    @staticmethod
    @contextlib.contextmanager
    def _behind(later: Later, client: Client, args: dict[str, Any]) -> Iterator[None]:
        args.update(later.last_terms())
        try:
            yield
        except CallError as e:
            if e.kind != 'need-code':  # else it has not left yet
                later.settle(client)
                for name in ('lane', 'choice'):
                    args.pop(name, None)
            raise
        except BaseException:
            later.abandon(client)
            raise
        later.settle(client)

    def guess(self, *args: Any) -> None:
        """The next `stat` has an answer like this: see Guess."""
        if self._later:
            self._later.guess = Guess(*args)

    def guess_no_more(self) -> None:
        """What was guessed has been asked for, or will not be."""
        if self._later:
            self._later.guess = None

    def for_modules_only(self) -> None:
        """What follows can't be sent for a choice: only the run of a module can."""
        if self._later and self._later.guess and self._later.guess.sending:
            raise Again

    @contextlib.contextmanager
    def knows(self, answers: list[Any]) -> Iterator[None]:
        """The next modules have run, and these are their answers."""
        self._known = list(answers)
        try:
            yield
        finally:
            self._known = []

    def foreseen(self, client: Client, module: Any, become: Any) -> Any:
        """The answer of a module's run that is known, or is guessed; else None."""
        later = self._later
        if self._known:
            return self._known.pop(0)
        guess = later and later.guess
        if not later or not guess or not (guess.sending or (guess.handle is None and module.payload.fqn == STAT)):
            return None
        context = self._context(client, become, module.interpreter)
        if guess.sending:
            item = _runtime.item()
            terms = dict(item.terms if item else {}, **later.terms(context))
            guess.same = _modules.start(self, client, module, become, terms | {'choice': SAME})
            later.passed()
            return NOTHING
        guess.handle = _modules.start(self, client, module, become, dict(later.terms(context), choices=guess.choices))
        later.add(client, guess.handle, 'a stat', guess, context)
        return guess.sample

    def expects(self, command: str) -> Expected | None:
        return self._later.expects(command) if self._later else None

    def send_later(self, client: Client, context: int, expected: Expected,
                   args: dict[str, Any]) -> tuple[int, bytes, bytes]:
        """Send a command, and return its answer as if it had been given."""
        later = self._later
        if later and expected.removes:
            later.settle(client)
            client.tell_to(context, 'processes', 'exec', dict(args, removes=expected.removes))
        elif later:
            later.context = context
            makes = {}
            if expected.makes:
                later.made.add(expected.makes)
                if later.makes and not C.DEFAULT_KEEP_REMOTE_FILES:
                    makes = {'makes': expected.makes}
            what = {'paths': list(expected.paths), 'bits': expected.bits} if expected.paths else args
            handle = client.start(context, *(('files', 'chmod') if expected.paths else ('processes', 'exec')), dict(
                what, expect=expected.answer, **later.terms(context), **makes))
            later.add(client, handle, 'a command', expected.answer, context)
        return 0, expected.out, b''

    def put_later(self, client: Client, context: int, in_path: str, out_path: str) -> bool:
        """Send a file, if it is one that need not be waited for; otherwise wait for what was sent before."""
        later = self._later
        if later is None:
            return False
        size = os.path.getsize(in_path) if os.path.isfile(in_path) else MOST + 1
        if later.guess and size > MOST_GUESSED:
            later.settle(client)
        if later.context not in (None, context) or not later.takes(out_path, size):
            later.settle(client)
            return False
        later.context = context
        with open(in_path, 'rb') as source:
            mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode) & 0o777
            for args, chunk in writes(out_path, chunks(source), mode):
                args.update(later.terms(context), expect=WRITTEN)
                later.add(client, client.start(context, 'files', 'write', args, chunk), f'writing {out_path}', WRITTEN,
                          context)
        return True
