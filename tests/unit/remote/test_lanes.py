"""Requests of a lane are served by number, one at a time, and none after an answer that was not the expected one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.remote import lanes
from mitogen_core.remote.lanes import Lanes


class Call:
    def __init__(self, number: int = 0) -> None:
        self.number, self.state, self.as_expected, self.failure = number, 'waiting', None, None
        self.on_done = self.choice = None

    def answer(self, as_expected: bool | None = True, choice: int | None = None) -> None:
        self.state, self.as_expected, self.choice = 'done', as_expected, choice
        self.on_done()

    def skip(self) -> None:
        self.fail('skipped', '')

    def fail(self, kind: str, text: str) -> None:
        self.failure = kind
        self.answer()


def enter(some: Lanes, served: list, *numbers: int, name: str = 'lane') -> list[Call]:
    calls = [Call(number) for number in numbers]
    for call in calls:
        some.enter(name, call.number, call, lambda call=call: served.append(call))
    return calls


@given(st.permutations(range(6)), st.data())
def test_by_number(order, data):
    """Whatever the order in which they come, and in which answers do."""
    some, served, calls = Lanes(), [], {}
    left = list(order)
    while left or len(served) < 6 or any(call.state != 'done' for call in served):
        open_one = served and served[-1].state != 'done'
        if left and (not open_one or data.draw(st.booleans())):
            number = left.pop(0)
            calls[number], = enter(some, served, number)
        elif open_one:
            served[-1].answer()
        assert sum(call.state != 'done' for call in served) <= 1
    assert [call.number for call in served] == list(range(6))


def test_lanes_do_not_wait_for_each_other():
    some, served = Lanes(), []
    enter(some, served, 0, 1, name='a')
    enter(some, served, 0, name='b')
    assert [call.number for call in served] == [0, 0]


def test_an_answer_that_was_not_expected():
    some, served = Lanes(), []
    first, second = enter(some, served, 0, 1)
    first.answer(as_expected=False)
    late, = enter(some, served, 2)
    assert served == [first]
    assert [second.failure, late.failure] == ['stopped', 'stopped']
    other, = enter(some, served, 0, name='other')
    assert served == [first, other]


@pytest.mark.parametrize(('chosen', 'begun'), [(0, [0, 1, 3]), (1, [0, 2, 3])])
def test_a_choice(chosen: int, begun: list[int]):
    """Requests of the other choice are not begun; those without one are."""
    some, served = Lanes(), []
    first, = enter(some, served, 0)
    for number, choice in ((1, 0), (2, 1), (3, None)):
        call = Call(number)
        some.enter('lane', number, call, lambda call=call: served.append(call), choice=choice)
    first.answer(choice=chosen)
    while served[-1].number != 3:
        served[-1].answer()
    assert [call.number for call in served] == begun


def test_nobody_waits_for_one():
    some, served = Lanes(), []
    first, second, third = enter(some, served, 0, 1, 2)
    second.answer()
    first.answer()
    assert served == [first, third]


def test_served_at_once():
    """An answer within serve()."""
    some, served = Lanes(), []
    calls = [Call(number) for number in range(3)]

    def serve(call):
        served.append(call.number)
        call.answer()
    for call in reversed(calls):
        some.enter('lane', call.number, call, lambda call=call: serve(call))
    assert served == [0, 1, 2]


def test_lanes_are_forgotten(monkeypatch):
    """The last of their requests says so; of others those that were used last are kept."""
    monkeypatch.setattr(lanes, 'MOST', 3)
    some, served = Lanes(), []
    enter(some, served, 0, name='busy')
    for number in range(10):
        enter(some, served, 0, name=str(number))[0].answer()
    assert list(some._lanes) == ['busy', '8', '9'] or len(some._lanes) <= 4
    assert 'busy' in some._lanes and '9' in some._lanes
    call = Call(1)
    some.enter('9', 1, call, lambda: served.append(call), last=True)
    call.answer()
    assert '9' not in some._lanes


def test_one_at_work_that_nobody_waits_for_ends_its_lane():
    """What was behind it was to come after its end."""
    some, served = Lanes(), []
    first, second = enter(some, served, 0, 1)
    first.answer(as_expected=None)
    assert served == [first] and second.failure == 'stopped'


def test_what_nobody_waits_for_is_not_kept():
    some, served = Lanes(), []
    late, = enter(some, served, 5)
    late.answer()
    assert some._lanes['lane'].waiting == {5: (late, None, None)}
