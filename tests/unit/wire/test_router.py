"""Routing decisions, and what they amount to: trees of routers joined in memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.wire.constants import CALL_SERVICE, FIRST_CLIENT, MAX_U32, ROOT
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.frames import Frame
from mitogen_core.wire.router import DEAD, DELIVER, DOWN, PARENT, REFUSE, UP, Router


def decide(router, link, dst, src, auth=None):
    frame = Frame(dst, src, CALL_SERVICE, 1000, b'', auth)
    return (*router.decide(frame, link), frame.auth)


@pytest.fixture
def router():
    """Context 5 with children 6 (and 60 below it) and 7."""
    found = Router(5)
    for context_id, link in ((6, 6), (60, 6), (7, 7)):
        found.add(context_id, link)
    return found


@pytest.mark.parametrize('link, dst, src, decision, where', [
    (PARENT, 5, 1, DELIVER, None),
    (PARENT, 6, 1, DOWN, 6),
    (PARENT, 60, FIRST_CLIENT, DOWN, 6),
    (PARENT, 7, 0, DOWN, 7),
    (PARENT, 8, 0, DEAD, 'no route to context 8'),
    (6, 5, 6, DELIVER, None),
    (6, 5, 60, DELIVER, None),
    (6, 0, 6, UP, PARENT),
    (6, 99, 60, UP, PARENT),
    (6, FIRST_CLIENT + 3, 6, UP, PARENT),
    (6, 7, 6, REFUSE, 'context 6 may not talk to context 7'),
    (6, 7, 60, REFUSE, 'context 60 may not talk to context 7'),
    (6, 60, 6, REFUSE, 'context 6 may not talk to context 60'),
    (6, 5, 7, REFUSE, 'source 7 is not behind this link'),
    (6, 0, 5, REFUSE, 'source 5 is not behind this link'),
    (6, 0, 0, REFUSE, 'source 0 is not behind this link'),
    (6, 5, FIRST_CLIENT, REFUSE, f'source {FIRST_CLIENT} is not behind this link'),
    (9, 5, 9, REFUSE, 'source 9 is not behind this link'),
])
def test_decisions(router, link, dst, src, decision, where):
    auth = MAX_U32
    expected = src if link != PARENT and not (where or '').startswith('source') else auth
    assert decide(router, link, dst, src, auth) == (decision, where, expected)


@pytest.mark.parametrize('context_id', [0, 5, FIRST_CLIENT, MAX_U32, -1, 1 << 70, None, '6', b'6', [6], {}, 6.0, True])
def test_ids_that_are_no_contexts_get_no_route(router, context_id):
    with pytest.raises(ProtocolError, match='a route for id'):
        router.add(context_id, 7)
    router.remove(context_id, 7)
    assert router.behind(7) == [7] and router.behind(6) == [6, 60]


def test_a_route_can_not_be_taken_over(router):
    with pytest.raises(ProtocolError, match='a second route for id 60'):
        router.add(60, 7)
    router.add(60, 6)
    router.remove(60, 7)
    assert 60 in router and router.link_of(60) == 6
    router.remove(60, 6)
    assert 60 not in router and router.link_of(60) is None


def test_a_lost_link_takes_its_routes_along(router):
    assert router.remove_link(6) == [6, 60]
    assert router.behind(6) == [] and router.behind(7) == [7]
    assert decide(router, PARENT, 60, 0)[0] == DEAD
    assert decide(router, 6, 5, 6)[0] == REFUSE


class Tree:
    """Contexts joined in memory; `parents` maps each id but ROOT's to its parent's."""

    def __init__(self, parents):
        self.parents = parents
        self.routers = {context_id: Router(context_id) for context_id in (ROOT, *parents)}
        for context_id in parents:
            child = context_id
            for above in self.above(context_id):
                self.routers[above].add(context_id, child)
                child = above

    def above(self, context_id):
        """The ancestors of a context, nearest first."""
        found = []
        while context_id != ROOT:
            context_id = self.parents[context_id]
            found.append(context_id)
        return found

    def related(self, one, other):
        return one in self.above(other) or other in self.above(one)

    def from_link(self, frame, at, link):
        """What becomes of a frame that arrives at `at`: (last decision, context that made it, contexts it passed)."""
        passed = []
        while True:
            passed.append(at)
            decision, where = self.routers[at].decide(frame, link)
            if decision == DOWN:
                at, link = where, PARENT
            elif decision == UP and at != ROOT:
                at, link = self.parents[at], at
            else:
                return decision, at, passed

    def send(self, origin, frame):
        """As a broker sends: down where it has a route, else up."""
        below = self.routers[origin].link_of(frame.dst)
        if below is not None:
            return self.from_link(frame, below, PARENT)
        return self.from_link(frame, self.parents[origin], origin)


@st.composite
def trees(draw):
    """The root with two or more contexts below it, of any shape and with any ids: three routers at least."""
    ids = draw(st.lists(st.integers(1, FIRST_CLIENT - 1), min_size=2, max_size=5, unique=True))
    parents = {}
    for context_id in ids:
        parents[context_id] = draw(st.sampled_from([ROOT, *parents]))
    return Tree(parents)


def pair(draw, tree):
    ids = [ROOT, *tree.parents]
    one = draw(st.sampled_from(ids))
    return one, draw(st.sampled_from([context_id for context_id in ids if context_id != one]))


@given(st.data(), trees())
def test_what_is_sent_along_a_line_arrives(data, tree):
    """Rules 1 to 3: between ancestor and descendant, in both directions, with the source checked."""
    src, dst = pair(data.draw, tree)
    frame = Frame(dst, src, CALL_SERVICE)
    if src == ROOT or tree.related(src, dst):
        assert tree.send(src, frame)[:2] == (DELIVER, dst)
        assert frame.auth == src
    else:
        decision, at, passed = tree.send(src, frame)
        assert decision == REFUSE and at in tree.above(src)
        assert set(passed) <= set(tree.above(src))


@given(st.data(), trees())
def test_no_context_reaches_a_sibling_or_speaks_for_others(data, tree):
    """Rules 2 to 4 against a context that sends whatever it likes to its parent."""
    ids = st.one_of(st.sampled_from([ROOT, *tree.parents]), st.integers(0, MAX_U32))
    villain = data.draw(st.sampled_from(sorted(tree.parents)))
    below = {i for i in tree.parents if villain in tree.above(i)} | {villain}
    frame = Frame(data.draw(ids), data.draw(ids), CALL_SERVICE, 0, b'', data.draw(ids))
    decision, at, passed = tree.from_link(frame, tree.parents[villain], villain)
    assert set(passed) <= set(tree.above(villain))
    if frame.src not in below:
        assert (decision, passed) == (REFUSE, [tree.parents[villain]])
    elif decision != REFUSE:
        assert frame.auth == frame.src
        assert (decision, at) in ((DELIVER, frame.dst), (UP, ROOT))
        assert decision == DELIVER or frame.dst not in tree.routers[ROOT]


@given(st.data(), trees())
def test_what_has_no_route_is_dead(data, tree):
    """Rule 4: where a context went away and the frame was under way already."""
    gone = data.draw(st.sampled_from(sorted(tree.parents)))
    parent = tree.parents[gone]
    lost = tree.routers[parent].remove_link(gone)
    assert sorted(lost) == sorted([gone, *(i for i in tree.parents if gone in tree.above(i))])
    dst = data.draw(st.sampled_from(lost))
    frame = Frame(dst, ROOT, CALL_SERVICE)
    if parent == ROOT:
        assert tree.routers[ROOT].link_of(dst) is None
    else:
        assert tree.send(ROOT, frame)[:2] == (DEAD, parent)
    assert tree.routers[parent].decide(Frame(parent, dst, CALL_SERVICE), gone)[0] == REFUSE
