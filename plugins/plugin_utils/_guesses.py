"""What an action asks for after its first answer, sent before that is there: docs/decisions/0016-guesses.md.

The first request has choices (docs/wire-format.md, section 4): the action goes on as if the answer were an OTHER one.
What it would ask for had the answer been the SAME is sent too, and the target takes one way or the other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ...mitogen_core.wire.choices import choose

SAME, OTHER = 0, 1
# Module whose answer is guessed.
STAT = 'ansible.modules.stat'
# Nothing is told besides.
SILENT = {'warnings': None, 'deprecations': None}


class Again(BaseException):
    """An answer was not the expected one.  No error: whoever caught it would go on with what is not so."""


class Known(Again):
    """It was another one than guessed.  `answers`: those that the action gets if it begins anew with what it did."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__()
        self.answers = answers


def _output(value: Any) -> list[Any]:
    data = json.dumps(value).encode()
    return [{'rc': 0, 'out': len(data)}, data]


# What is not looked at.
NOTHING = _output({})


class Guess:
    """Of one answer of `stat`: like one of `wanted`.  What would be asked for if it were `same` is sent by send_same().
    """

    def __init__(self, wanted: list[Any], same: dict[str, Any] | None = None,
                 send_same: Callable[[], Any] | None = None) -> None:
        self.choices = [[dict(SILENT, stat=same)] if same else [], [dict(SILENT, stat=one) for one in wanted]]
        self.sample = _output({'changed': False, 'stat': wanted[0]})
        self._send_same = send_same
        # Where it was asked for, and the handle of what is for the same.
        self.context: int | None = None
        self.same: int | None = None
        self.sending = False
        self._answer: Any = None
        self.choice: int | None = None

    def go_on(self) -> None:
        """What comes next is waited for."""
        send, self._send_same = self._send_same, None
        if send:
            self.sending = True
            try:
                send()
            finally:
                self.sending = False

    def take(self, answer: Any) -> None:
        """The answer of the first request, None for a failure."""
        self._answer = answer
        self.choice = None if answer is None else choose(self.choices, *answer)

    def known(self, answer_of: Callable[[int], Any]) -> Again:
        """That it was another choice."""
        if self._answer is None:
            return Again()
        if self.choice == SAME and self.same is not None:
            return Known([self._answer, answer_of(self.same)])
        return Known([self._answer])
