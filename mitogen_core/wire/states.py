"""What is legal when.  All of it stands in these tables; an event that is not in its state's row is an error.

LINK   the connection between two neighbours
CALL   one call that a broker serves
"""

from .errors import ProtocolError

LINK = {
    'booting': {'hello': 'up', 'close': 'closed'},
    'up': {'frame': 'up', 'shutdown': 'closing', 'close': 'closed'},
    'closing': {'frame': 'closing', 'shutdown': 'closing', 'close': 'closed'},
    'closed': {'close': 'closed'},
}

CALL = {
    'waiting': {'start': 'running', 'answer': 'done', 'cancel': 'done'},
    'running': {'answer': 'done', 'cancel': 'cancelled'},
    'cancelled': {'answer': 'done'},
    'done': {},
}


def step(table, state, event):
    """The state after `event`; raises ProtocolError where the table has none."""
    try:
        return table[state][event]
    except KeyError:
        raise ProtocolError('%s is not possible while %s' % (event, state))
