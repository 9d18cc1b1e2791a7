"""A connection whose actions do not wait for each answer: see _later.py."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ansible import constants as C
from ansible.errors import AnsibleError

from ...mitogen_core.controller.client import Client, chunks, writes
from ...mitogen_core.wire.errors import CallError
from . import _modules, _runtime
from ._compat import handlers
from ._compat.copies import MOST as MOST_GUESSED
from ._guesses import NOTHING, SAME, STAT, Again, Guess
from ._later import MOST, WRITTEN, Expected, Later
from ._login import Stock

T = TypeVar('T')


class Unawaited:
    """Mixin of connections."""

    alone: Any
    attempt: Any
    _context: Any
    _shell: Any
    forget_read: Any
    is_here: Any
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
        if not self.is_here():  # whose files are copied by stock
            self._later = Later(_runtime.new_name(), not job, self._shell.tmpdir, _runtime.item())

    def concluded(self, run: Callable[[], T]) -> T:
        """What an action's `run` returns, if all that it did not wait for is as it was expected; else raises Again."""
        try:
            result = run()
        except Exception:
            # Perhaps because of an answer that was not the expected one; else it is as good as any.
            with contextlib.suppress(Exception):
                self.end_action()
            raise
        self.end_action()
        return result

    @staticmethod
    def is_ahead() -> bool:
        """Is what it runs an item of a loop, before it is its turn?"""
        return _runtime.item() is not None

    @staticmethod
    def only_in_turn() -> None:
        """What follows may depend on items of a loop that are before this one."""
        item = _runtime.item()
        if item:
            item.begin_in_turn()

    def acts(self) -> bool:
        """Is an action at work that may be run again?"""
        return self._later is not None and self._later.on

    def end_action(self) -> None:
        """Its `run` is over, and may only remove its folders."""
        self.forget_read()
        if not self.is_twin:
            self.ways = None
        later = self._later
        try:
            if later and later.pending:
                self.attempt(later.settle)
        except Stock as e:
            raise Again from e
        finally:
            if later:
                later.on = later.dropped = False

    def no_action(self) -> None:
        """What it does from here on is waited for."""
        self.ways = None
        later, self._later = self._later, None
        if later and later.context is not None and not C.DEFAULT_KEEP_REMOTE_FILES:
            for folder in later.made:
                with contextlib.suppress(Stock, AnsibleError):
                    self.attempt(lambda client, context=later.context, folder=folder: client.tell_to(
                        context, 'processes', 'exec', {'argv': ['rm', '-rf', '--', folder], 'removes': folder}))
        self.alone()

    def settle(self, client: Client) -> None:
        """Wait for all that was not waited for."""
        self.send_held(client)
        if self._later:
            self._later.settle(client)

    def settle_for(self, client: Client, become: Any, interpreter: str | None = None) -> None:
        """The same, unless what follows is for the same context."""
        later = self._later
        if later and later.pending:
            if later.guess and later.guess.context is not None and not later.elsewhere(later.guess.context):
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
        if 'chain' in args:
            args['only'] = later.context_of_last
        try:
            yield
        except CallError as e:
            if e.kind != 'need-code':  # else it has not left yet
                later.settle(client)
                for name in ('lane', 'choice', 'only'):
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
        if not later or not guess or not (guess.sending or (guess.context is None and module.payload.fqn == STAT)):
            return None
        context = self._context(client, become, module.interpreter)
        if guess.sending:
            item = _runtime.item()
            terms = dict(item.terms if item else {}, **later.terms(context))
            guess.same = _modules.start(self, client, module, become, terms | {'choice': SAME, 'only': context})
            later.passed()
            return NOTHING
        handle = _modules.start(self, client, module, become, dict(
            later.terms(context), choices=guess.choices, only=context))
        later.add(client, handle, 'a stat', guess, context)
        guess.context = context
        return guess.sample

    def expects(self, command: str) -> Expected | None:
        return self._later.expects(command) if self._later else None

    def send_later(self, client: Client, context: int, expected: Expected,
                   args: dict[str, Any]) -> tuple[int, bytes, bytes]:
        """Send a command, and return its answer as if it had been given."""
        later = self._later
        if later and expected.removes:
            later.held = []
            later.settle(client)
            client.tell_to(context, 'processes', 'exec', dict(args, removes=expected.removes))
        elif later:
            later.context = context
            makes = {}
            if expected.makes:
                later.made.add(expected.makes)
                if later.makes and not C.DEFAULT_KEEP_REMOTE_FILES:
                    makes = {'makes': expected.makes}
            if expected.paths:
                self._files_later(client, 'chmod', {'paths': list(expected.paths), 'bits': expected.bits})
            else:
                handle = client.start(context, 'processes', 'exec', dict(
                    args, expect=expected.answer, **later.terms(context), **makes))
                later.add(client, handle, 'a command', expected.answer, context)
        return 0, expected.out, b''

    def _files_later(self, client: Client, method: str, args: dict[str, Any], content: bytes = b'') -> None:
        """Send a request that writes or changes a file of the folder, or hold it, for a job."""
        later = self._later
        if later and not later.makes:
            later.held.append((method, args, content))
        else:
            self._send_files(client, method, args, content)

    def _send_files(self, client: Client, method: str, args: dict[str, Any], content: bytes) -> None:
        later = self._later
        if later and later.context is not None:
            terms = later.terms(later.context)
            handle = client.start(later.context, 'files', method, dict(args, expect=WRITTEN, **terms), content)
            later.add(client, handle, f'{method} {args.get("path", "")}', WRITTEN, later.context)

    def send_held(self, client: Client) -> None:
        """What follows needs the files."""
        if self._later:
            held, self._later.held = self._later.held, []
            for method, args, content in held:
                self._send_files(client, method, args, content)

    def drop_held(self) -> None:
        """What follows is a job that does not."""
        if self._later and self._later.held:
            self._later.held, self._later.dropped = [], True

    def put_later(self, client: Client, context: int, in_path: str, out_path: str) -> bool:
        """Send a file, if it is one that need not be waited for; otherwise wait for what was sent before."""
        later = self._later
        if later is None:
            return False
        size = os.path.getsize(in_path) if os.path.isfile(in_path) else MOST + 1
        if later.guess and size > MOST_GUESSED:
            later.settle(client)
        if later.context not in (None, context) or not later.takes(out_path, size):
            self.settle(client)
            return False
        later.context = context
        with open(in_path, 'rb') as source:
            mode = stat.S_IMODE(os.fstat(source.fileno()).st_mode) & 0o777
            for args, chunk in writes(out_path, chunks(source), mode):
                self._files_later(client, 'write', args, chunk)
        return True
