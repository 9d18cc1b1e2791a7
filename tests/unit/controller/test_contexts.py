"""What the multiplexer remembers of contexts."""

from __future__ import annotations

import types

from mitogen_core.controller.contexts import Contexts, Slot


def test_a_client_that_stays_keeps_no_context_that_is_gone():
    contexts = Contexts(types.SimpleNamespace(loop=types.SimpleNamespace(cancel=lambda timer: None)))
    for number in (1, 2, 3):
        slot = Slot(('key',), 'host', True)
        slot.id, slot.hello = number, {}
        contexts.slots[slot.path] = contexts.by_id[number] = slot
        contexts.use(number, 7)
        contexts.forget(number)
    assert contexts.used_by == {7: set()}
    assert not contexts.by_id and not contexts.slots
    contexts.client_gone(7)
    assert not contexts.used_by
