"""Where a frame may go.  Pure: frames and link names in, decisions out.

Rules
1. A frame from the parent goes down: to this context or to a descendant.
2. A frame from a child must name as its source the child or one of its descendants; `auth` is then that source.
3. A frame from a child goes to this context or up.  Siblings can't reach each other through a common parent.
4. What breaks a rule is refused; what has no route is dead.
"""

from .constants import FIRST_CLIENT
from .errors import ProtocolError
from .py23 import integer_types

DELIVER, DOWN, UP, REFUSE, DEAD = 'deliver', 'down', 'up', 'refuse', 'dead'
PARENT = 'parent'


class Router(object):
    """Routes of the context `me`.  Links are any hashable values; PARENT is the one upwards."""

    def __init__(self, me):
        self.me = me
        self._link_of = {}

    def __contains__(self, context_id):
        return context_id in self._link_of

    def link_of(self, context_id):
        """The link to a descendant, or None."""
        return self._link_of.get(context_id)

    def all(self):
        """Ids of all descendants, sorted."""
        return sorted(self._link_of)

    def behind(self, link):
        """Ids of the contexts behind `link`, sorted."""
        return sorted(i for i, at in self._link_of.items() if at == link)

    def add(self, context_id, link):
        """A descendant appeared.  Raises ProtocolError where the id is not free or not a context's."""
        if type(context_id) not in integer_types or context_id == self.me or not 0 < context_id < FIRST_CLIENT:
            raise ProtocolError('a route for id %.20r' % (context_id,))
        if self._link_of.setdefault(context_id, link) != link:
            raise ProtocolError('a second route for id %d' % context_id)

    def remove(self, context_id, link):
        """A descendant went away.  A link can only withdraw what is behind it."""
        if type(context_id) in integer_types and self._link_of.get(context_id) == link:
            del self._link_of[context_id]

    def remove_link(self, link):
        """All of a link's descendants went away; returns their ids."""
        gone = self.behind(link)
        for context_id in gone:
            del self._link_of[context_id]
        return gone

    def decide(self, frame, from_link):
        """(decision, link or reason).  Writes the checked source into `frame.auth`."""
        down = self._link_of.get(frame.dst)
        if from_link == PARENT:
            if frame.dst == self.me:
                return DELIVER, None
            return (DOWN, down) if down is not None else (DEAD, 'no route to context %d' % frame.dst)
        if self._link_of.get(frame.src) != from_link:
            return REFUSE, 'source %d is not behind this link' % frame.src
        frame.auth = frame.src
        if frame.dst == self.me:
            return DELIVER, None
        if down is not None:
            return REFUSE, 'context %d may not talk to context %d' % (frame.src, frame.dst)
        return UP, PARENT
