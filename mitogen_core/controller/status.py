"""The `status` service of the multiplexer, and its answer to SIGUSR1: what is there, and who waits for whom."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

from ..wire.errors import ProtocolError
from .report import lines

# What contexts are given to say what they are doing, and how many characters and items of that are looked at.
SECONDS, MOST = 5, 1 << 16


class Status:
    def __init__(self, mux: Any) -> None:
        self.mux = mux

    def describe(self) -> dict[str, Any]:
        """Of this process alone."""
        mux, now = self.mux, self.mux.loop.clock()
        # Chains that differ by an interpreter may lead to one context: it is told once, by the shortest.
        contexts = {context['id']: context for context in reversed(mux.contexts.describe())}
        return {'pid': os.getpid(), 'clients': len(mux.clients), 'pending': len(mux.pending),
                'calls': [{'client': client, 'handle': handle, 'context': asked.context, 'seconds': now - asked.since}
                          for (client, handle), asked in mux.pending.items()],
                'contexts': list(reversed(contexts.values())), 'modules': mux.modules.describe(),
                'channels': mux.channels.describe(),
                'links': {name: child.link.describe() for name, child in mux.children.items() if child.link}}

    def do_status(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """What is there: for people and tests."""
        call.reply(self.describe())

    def do_shutdown(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        call.reply()
        self.mux.loop.soon(self.mux.loop.stop)

    def do_tree(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """As `status`; each of the contexts has a `status` too: what it says of itself, or {'error': text}.  `lines` is
        the same as text."""
        def reply(tree: dict[str, Any]) -> None:
            try:
                call.reply(dict(tree, lines=list(lines(tree))))
            except ProtocolError as e:  # here, or it would be taken for that of whoever answered last
                call.fail('status', f'there is more than can be told: {e}')
        self.gather(reply)

    def gather(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """callback(tree), when all contexts have answered or had their time."""
        tree = self.describe()
        silent = {context['id']: context for context in tree['contexts'] if context['ready']}

        def finish() -> None:
            self.mux.loop.cancel(timer)
            for context in silent.values():
                context['status'] = {'error': f'no answer within {SECONDS} s'}
            silent.clear()
            callback(tree)

        def answered(context: int, kind: str, value: Any, bulk: bytes) -> None:
            asked = silent.pop(context, None)
            if asked:
                asked['status'] = said(value) if kind == 'ok' else {'error': str(value)}
                if not silent:
                    finish()
        timer = self.mux.loop.later(SECONDS, finish)
        asked = list(silent)
        for context in asked:
            self.mux.call(context, 'status', 'status', {}, functools.partial(answered, context))
        if not asked:
            finish()

    def dump(self) -> None:
        """SIGUSR1: to the log, or, where there is none, into the folder of the run."""
        def write(tree: dict[str, Any]) -> None:
            if self.mux.log.on:
                for line in lines(tree):
                    self.mux.log.write(20, line)
            else:
                path = pathlib.Path(self.mux.folder, 'status.txt')
                path.write_text('\n'.join(lines(tree)) + '\n', encoding='utf-8')
        self.gather(write)


def said(value: Any) -> Any:
    """What a target says of itself, with text for bytes: it may be anything."""
    left = MOST

    def plain(value: Any) -> Any:
        nonlocal left
        left -= len(value) if isinstance(value, (str, bytes, dict, list, tuple)) else 0
        if left < 0:
            raise OverflowError
        if isinstance(value, bytes):
            return value.decode('utf-8', 'replace')
        if isinstance(value, dict):
            return {plain(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value
    try:
        return plain(value)
    except OverflowError:
        return {'error': 'it says too much of itself'}
