"""The items of a loop that are under way: begun in order, one at a time at work, taken in order."""

from __future__ import annotations

import contextlib
import threading

import pytest

from tests.support import collection

ahead = collection.load('plugins.plugin_utils._ahead')
loops = collection.load('plugins.plugin_utils._compat.loops')
baton = collection.load('plugins.plugin_utils._baton')
runtime = collection.load('plugins.plugin_utils._runtime')


class Loop:
    """A loop from its item 1 on.  Item n is whatever `items[n]` does with its Item."""

    def __init__(self, *items) -> None:
        self.items, self.number = [None, *items], 1
        self.log, self.slots, self.variables = [], [], {}

    def in_context(self, work):
        return work

    def slot(self):
        class Slot:
            _connection = None
        self.slots.append(threading.get_ident())
        return Slot()

    def run(self, slot, number):
        self.log.append(f'begin {number}')
        outcome = loops.Outcome()
        with outcome.kept():
            outcome.value = self.items[number](runtime.item())
        self.log.append(f'end {number}')
        return outcome

    def take(self, executor, arguments, outcome):
        if outcome.error:
            raise outcome.error
        return outcome.value


@contextlib.contextmanager
def lane(loop: Loop, width: int = 4):
    lane = ahead.Lane(loop, ['key'], 7, width)
    try:
        yield lane
    finally:
        lane.close()
        assert not any(thread.is_alive() for thread in lane._threads)


def answered(event: threading.Event, value: str):
    """An item that waits for its answer, as soon as its request is sent."""
    def run(item):
        item.sent()
        with baton.waiting():
            assert event.wait(20)
        return value
    return run


def test_all_are_sent_before_the_first_is_answered():
    first, sent = threading.Event(), []

    def last(item):
        sent.append(loop.log[:])
        first.set()
        return 'c'
    loop = Loop(answered(first, 'a'), answered(first, 'b'), last)
    with lane(loop) as one:
        assert [one.take(None, {}) for _ in range(3)] == ['a', 'b', 'c']
    assert sent == [['begin 1', 'begin 2', 'begin 3']]


def test_no_more_than_its_width():
    event, number = threading.Event(), []

    def item(one):
        number.append(1)
        one.sent()
        if len(number) == 2:
            event.set()
        with baton.waiting():
            assert event.wait(20)
        return len(loop.slots)
    loop = Loop(*[item] * 9)
    with lane(loop, 2) as one:
        assert {one.take(None, {}) for _ in range(9)} == {2}
    assert [line for line in loop.log if line[0] == 'b'] == [f'begin {n}' for n in range(1, 10)]


def test_the_next_begins_when_one_has_sent_or_ended():
    loop = Loop(*[lambda item: item.number] * 5)
    with lane(loop) as one:
        assert [one.take(None, {}) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert loop.log == [f'{what} {n}' for n in range(1, 6) for what in ('begin', 'end')]


def test_alone():
    """It waits for those before it, and the others wait for it."""
    event = threading.Event()

    def alone(item):
        event.set()
        item.alone()
        loop.log.append('alone')
        return 'b'
    loop = Loop(answered(event, 'a'), alone, lambda item: 'c', lambda item: 'd')
    with lane(loop) as one:
        assert [one.take(None, {}) for _ in range(4)] == ['a', 'b', 'c', 'd']
    assert loop.log == ['begin 1', 'begin 2', 'end 1', 'alone', 'end 2', 'begin 3', 'end 3', 'begin 4', 'end 4']


def test_an_error_ends_the_loop():
    def fails(item):
        raise ValueError('no')
    loop = Loop(lambda item: 'a', fails, lambda item: 'c')
    with lane(loop) as one:
        assert one.take(None, {}) == 'a'
        with pytest.raises(ValueError, match='no'):
            one.take(None, {})
    assert 'begin 3' not in loop.log


def test_one_runs_at_a_time():
    running, most = [], []

    def item(one):
        running.append(1)
        most.append(len(running))
        one.sent()
        running.pop()
        with baton.waiting():
            pass
        running.append(1)
        most.append(len(running))
        running.pop()
    loop = Loop(*[item] * 40)
    with lane(loop, 8) as one:
        for _ in range(40):
            one.take(None, {})
    assert set(most) == {1}


def test_not_all_are_taken():
    loop = Loop(*[lambda item: 'x'] * 6)
    with lane(loop, 2) as one:
        assert one.take(None, {}) == 'x'
    assert len(loop.log) <= 2 * 6


def test_an_item_that_has_ended_the_loop_stops_those_that_wait_for_it():
    """What they would ask for next is not asked for."""
    going = threading.Event()

    def ends(item):
        item.sent()
        with baton.waiting():
            assert going.wait(20)
        raise ValueError('no')

    def waits(item):
        item.sent()
        going.set()
        item.alone()
        loop.log.append('went on')
    loop = Loop(ends, waits)
    with lane(loop) as one, pytest.raises(ValueError, match='no'):
        one.take(None, {})
    assert 'went on' not in loop.log


def test_an_item_that_can_not_be_prepared():
    """Nobody waits for it without an end."""
    class Broken(Loop):
        def slot(self):
            raise LookupError('no')
    loop = Broken(lambda item: 'a', lambda item: 'b')
    with lane(loop) as one, pytest.raises(LookupError, match='no'):
        one.take(None, {})


def test_in_turn():
    """An item that may depend on others ends the lane, and is left to the loop."""
    loop = Loop(lambda item: 'a', lambda item: item.begin_in_turn(), lambda item: 'c')
    stock = []

    class Executor:
        _mitosis_lane = None
    executor = Executor()
    with lane(loop) as one:
        executor._mitosis_lane = one
        got = [ahead._execute(executor, {}, lambda: stock.append(1) or 'stock') for _ in range(3)]
    assert got == ['a', 'stock', 'stock']
    assert 'begin 3' not in loop.log
