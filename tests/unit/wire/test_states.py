"""The state tables: what they allow happens, all else is an error that changes nothing."""

from __future__ import annotations

import itertools

import pytest

from mitogen_core.remote.broker import Call
from mitogen_core.remote.link import Link
from mitogen_core.wire import states
from mitogen_core.wire.errors import ProtocolError

TABLES = {'LINK': states.LINK, 'CALL': states.CALL}
ALL = [(name, state, event) for name, table in TABLES.items()
       for state, event in itertools.product(table, sorted({e for row in table.values() for e in row} | {'nonsense'}))]


class FakeBroker:
    def __init__(self):
        self.calls = {}


def owner(name):
    """Something with a state that follows the table."""
    if name == 'LINK':
        return Link.__new__(Link)
    call = Call.__new__(Call)
    call.broker, call.src, call.reply_to = FakeBroker(), 1, 1000
    return call


@pytest.mark.parametrize('name, state, event', ALL)
def test_events(name, state, event):
    expected = TABLES[name][state].get(event)
    it = owner(name)
    it.state = state
    if expected is None:
        with pytest.raises(ProtocolError, match=f'{event} is not possible while {state}'):
            it.event(event)
        assert it.state == state
    else:
        it.event(event)
        assert it.state == expected == states.step(TABLES[name], state, event)


def test_an_unknown_state_is_an_error_too():
    with pytest.raises(ProtocolError):
        states.step(states.LINK, 'nowhere', 'close')


@pytest.mark.parametrize('name, start, end', [('LINK', 'booting', 'closed'), ('CALL', 'waiting', 'done')])
def test_every_state_can_be_reached_and_left_for_the_end(name, start, end):
    table = TABLES[name]
    assert all(target in table for row in table.values() for target in row.values())

    def reachable(state):
        found, todo = set(), [state]
        while todo:
            state = todo.pop()
            if state not in found:
                found.add(state)
                todo += table[state].values()
        return found
    assert reachable(start) == set(table)
    assert all(end in reachable(state) for state in table)
    assert set(table[end].values()) <= {end}


def test_the_tables_are_these():
    """Frozen: whoever changes a table changes the protocol, and this."""
    assert states.LINK == {
        'booting': {'hello': 'up', 'close': 'closed'},
        'up': {'frame': 'up', 'shutdown': 'closing', 'close': 'closed'},
        'closing': {'frame': 'closing', 'shutdown': 'closing', 'close': 'closed'},
        'closed': {'close': 'closed'},
    }
    assert states.CALL == {
        'waiting': {'start': 'running', 'answer': 'done', 'cancel': 'done'},
        'running': {'answer': 'done', 'cancel': 'cancelled'},
        'cancelled': {'answer': 'done'},
        'done': {},
    }
