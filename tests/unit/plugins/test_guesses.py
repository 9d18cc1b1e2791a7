"""Which way an action goes after an answer that was guessed, and what is asked for then."""

from __future__ import annotations

import json

import pytest

from tests.support import collection

guesses = collection.load('plugins.plugin_utils._guesses')
later = collection.load('plugins.plugin_utils._later')
ABSENT, FILE = {'exists': False}, {'exists': True, 'isdir': False}
CallError = later.CallError


def answer(stat, rc: int = 0):
    data = json.dumps({'stat': stat}).encode()
    return {'rc': rc, 'out': len(data)}, data


SAME_STAT = answer(dict(FILE, checksum='x', size=3))
SAME_RUN = answer({}, 1)
STOPPED, SKIPPED = CallError('stopped', ''), CallError('skipped', '')


class Client:
    def __init__(self, answers) -> None:
        self.answers, self.forgotten = answers, []

    def wait(self, handle, what):
        found = self.answers.pop(handle)
        if isinstance(found, Exception):
            raise found
        return found

    def forget(self, handle) -> None:
        self.forgotten.append(handle)


def settle(answers, same: bool = True):
    """Of a folder (handle 1), a guess (2), the request for the same (3), a file (4)."""
    one, client = later.Later('x'), Client(answers)
    one.terms(7)
    one.add(client, 1, 'a folder', [{'rc': 0, 'out': 0}, b''], 7)
    sent = []
    one.guess = guess = guesses.Guess([ABSENT, FILE], dict(FILE, checksum='x'), lambda: sent.append(guess.sending))
    assert json.loads(guess.sample[1])['stat'] == ABSENT
    guess.context = 7
    one.terms(7)
    one.add(client, 2, 'a stat', guess, 7)
    assert one.terms(7) == {'lane': ['x.0', 2], 'choice': guesses.OTHER}
    if same:
        guess.go_on()
        guess.go_on()
        assert sent == [True] and not guess.sending
        guess.same = 3
        one.terms(7)
        one.passed()
    one.terms(7)
    one.add(client, 4, 'a file', later.WRITTEN, 7)
    try:
        one.settle(client)
    except guesses.Known as e:
        return [*client.forgotten, one.on], e.answers
    except guesses.Again:
        return [*client.forgotten, one.on], None
    return [*client.forgotten, one.on], []


MADE, FAILED, WRITTEN = ({'rc': 0, 'out': 0}, b''), ({'rc': 1, 'out': 0}, b''), (None, b'')


@pytest.mark.parametrize(('stat', 'behind', 'expected'), [
    (answer(ABSENT), {3: SKIPPED, 4: WRITTEN}, ([3, True], [])),
    (answer(dict(FILE, checksum='y')), {3: SKIPPED, 4: WRITTEN}, ([3, True], [])),
    (answer(dict(FILE)), {3: SKIPPED, 4: CallError('os', 'full')}, ([3, True], None)),
    (SAME_STAT, {3: SAME_RUN, 4: SKIPPED}, ([False], [list(SAME_STAT), SAME_RUN])),
    (answer(dict(FILE, isdir=True)), {3: STOPPED, 4: STOPPED}, ([3, True], [list(answer(dict(FILE, isdir=True)))])),
    (answer(ABSENT, 1), {3: STOPPED, 4: STOPPED}, ([3, True], [list(answer(ABSENT, 1))])),
    (CallError('died', ''), {3: STOPPED, 4: STOPPED}, ([3, True], None))])
def test_ways(stat, behind, expected):
    assert settle({1: MADE, 2: stat, **behind}) == expected


def test_nothing_was_asked_for_the_same():
    assert settle({1: MADE, 2: SAME_STAT, 4: SKIPPED}, same=False) == ([True], [list(SAME_STAT)])


def test_what_was_before_went_wrong():
    assert settle({1: FAILED, 2: STOPPED, 3: STOPPED, 4: STOPPED})[1] is None


def test_the_same_dies():
    """As if its interpreter had been killed."""
    _, (_, same) = settle({1: MADE, 2: SAME_STAT, 3: CallError('died', 'gone'), 4: SKIPPED})
    assert same == ({'rc': 137, 'out': 0}, b'gone')
