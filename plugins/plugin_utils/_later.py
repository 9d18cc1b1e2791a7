"""Requests of an action whose answers are known before they are given: docs/decisions/0015-not-waited-for.md.

They are sent, and the action goes on.  What it asks for next goes into the same lane, where it is begun only if all
answers before it were the expected ones.  If one was not, the action is run again from its beginning, and waits.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

from ...mitogen_core.controller.client import Client
from ...mitogen_core.wire.errors import CallError
from . import _modules
from ._guesses import OTHER, SAME, Again, Guess

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
        # Requests of `files`, in the folder of a job, that have not been sent: (method, args, content).  It does not
        # need them if it is one that is known.
        self.held: list[tuple[str, dict[str, Any], bytes]] = []
        self.dropped = False
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

    @property
    def context_of_last(self) -> int:
        return self._pending[-1].context

    def last_terms(self) -> dict[str, Any]:
        """Of a request that is waited for."""
        terms = self.terms(self.context_of_last)
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
                if isinstance(one.expected, Guess) and one.expected.same is not None:
                    client.forget(one.expected.same)
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
        if guess and guess.same is not None:
            if guess.choice == SAME and not wrong:
                self.on = False
            else:
                client.forget(guess.same)
        if wrong:
            raise Again
        if guess and guess.choice != OTHER:
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
