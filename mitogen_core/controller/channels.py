"""The `channels` service: subscriptions of clients, and what contexts and clients publish.

docs/decisions/0009-channels.md tells why it is so.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

from ..wire.constants import CHUNK, FIRST_CLIENT, MAX_HEAD, ROOT, SUBSCRIBE
from ..wire.errors import ProtocolError
from ..wire.frames import Frame
from ..wire.payloads import pack

POLICIES = ('oldest', 'newest', 'block')
# Bytes of a queue, by default.
SIZE = 1 << 20
# Messages that a client may be sent before it has taken those before them.
AHEAD = 32
# What a message costs its keeper beyond its bulk.
MESSAGE_COST = 512
# Bytes of all publications that are kept for those who subscribe later.
MAX_KEPT = 16 << 20
# And of those of one context.
MAX_KEPT_OF_ONE = 1 << 20
MAX_NAME = 200
# The slot of the multiplexer's log.
LOG = 'mitogen.log'


class Message:
    """One publication; `release` is called, once, when it is where it has to be and no queue has it wait."""

    def __init__(self, head: dict[str, Any], bulk: bytes, release: Callable[[], None] | None = None) -> None:
        self.head, self.bulk = head, bulk
        size = len(pack(head))
        if size > MAX_HEAD - MESSAGE_COST:  # now, not when somebody else's turn has it sent on with what is added
            raise ProtocolError(f'a publication of {size} bytes')
        self.cost = size + len(bulk) + MESSAGE_COST
        self._release, self._holders = release, 0

    def hold(self) -> None:
        self._holders += 1

    def let_go(self) -> None:
        self._holders -= 1
        self.release()

    def release(self) -> None:
        if self._release and not self._holders:
            release, self._release = self._release, None
            release()


class Subscription:
    """The queue of one client and slot."""

    def __init__(self, call: Any, slot: str, size: int, policy: str) -> None:
        self.call, self.slot, self.size, self.policy = call, slot, size, policy
        self.queue: collections.deque[Message] = collections.deque()
        # With `block`: those that there was no room for.
        self.waiting: collections.deque[Message] = collections.deque()
        self.bytes = self.untold = self.dropped = 0
        # Messages that the client has not taken yet.
        self.under_way = 0

    def _has_room(self, message: Message) -> bool:
        return not self.queue or self.bytes + message.cost <= self.size

    def offer(self, message: Message) -> None:
        """Take a publication in, as the policy has it."""
        if self.policy == 'block' and (self.waiting or not self._has_room(message)):
            message.hold()
            self.waiting.append(message)
            return
        while not self._has_room(message):
            self.untold += 1
            self.dropped += 1
            if self.policy == 'newest':
                return
            self.bytes -= self.queue.popleft().cost
        self._append(message)
        self._next()

    def _append(self, message: Message) -> None:
        self.bytes += message.cost
        self.queue.append(message)

    def _next(self) -> None:
        """Send the client what it may be sent."""
        while self.queue and self.under_way < AHEAD:
            message = self.queue.popleft()
            self.bytes -= message.cost
            head = message.head
            if self.untold:
                head, self.untold = dict(head, dropped=self.untold), 0
            self.under_way += 1
            self.call.progress(head, message.bulk)
            while self.waiting and self._has_room(self.waiting[0]):
                message = self.waiting.popleft()
                self._append(message)
                message.let_go()

    def taken(self, number: int) -> None:
        self.under_way = max(0, self.under_way - number)
        self._next()

    def end(self) -> None:
        for message in self.waiting:
            message.let_go()
        self.waiting.clear()
        self.queue.clear()


class Channels:
    def __init__(self, mux: Any) -> None:
        self.mux = mux
        self.slots: dict[str, list[Subscription]] = {}
        # The last publication of each source that is to be kept: slot -> context or client -> message.
        self.kept: dict[str, dict[int, Message]] = {}
        self._kept_bytes: collections.Counter[int] = collections.Counter()
        self._telling = False

    # the service

    def do_subscribe(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """args: slot, size (bytes of the queue), policy (of POLICIES, for a full one).

        Never answered; progress is an empty dict at once, then for each publication {'slot', 'value', 'source' (context
        id), 'name' (its name), 'keep'}, with 'dropped' where some before it were, and 'gone' where a kept one is no
        longer true.  Ends with CANCEL.
        """
        slot, policy = _name(args), args.get('policy', POLICIES[0])
        if not slot or policy not in POLICIES:
            call.fail('channel', f'no such slot or policy: {args!r:.200}')
            return
        subscription = Subscription(call, slot, int(args.get('size') or SIZE), policy)
        call.on_cancel = lambda: self._unsubscribe(subscription)
        first = slot not in self.slots
        self.slots.setdefault(slot, []).append(subscription)
        call.progress({})  # which may find its client gone, and end it
        for message in list(self.kept.get(slot, {}).values()):
            subscription.offer(message)
        if first and slot in self.slots:
            self._tell(slot, True)

    def _unsubscribe(self, subscription: Subscription) -> None:
        subscription.end()
        others = self.slots.get(subscription.slot, [])
        if subscription not in others:
            return
        others.remove(subscription)
        if not others:
            del self.slots[subscription.slot]
            self._tell(subscription.slot, False)

    def do_taken(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """args: handle (of the request that subscribed) and number of messages that the client has done with.  With
        AHEAD messages that it has not it is sent no more."""
        for subscription in self._all():
            if (subscription.call.client, subscription.call.reply_to) == (call.client, args['handle']):
                subscription.taken(args['number'])
        call.reply()

    def do_publish(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """args: slot, value, keep.  Answered with the number of subscribers when all queues that block have room."""
        slot = _name(args)
        if not slot or len(bulk) > CHUNK:
            call.fail('channel', 'no slot, or a publication that is too large')
            return
        number = len(self.slots.get(slot, ()))
        self._publish(slot, args, bulk, call.client, lambda: call.reply(number))

    # the multiplexer's own

    def tell_log(self, level: int, where: str, text: str) -> None:
        """A line of the log, for programs.  What it takes to tell it is not told."""
        if LOG in self.slots and not self._telling:
            self._telling = True
            try:
                self._publish(LOG, {'value': {'level': level, 'where': where, 'text': text}}, b'', ROOT, lambda: None)
            finally:
                self._telling = False

    # contexts

    def published(self, context: int, head: Any, bulk: bytes, keep: Callable[[], Callable[[], None]]) -> None:
        """A publication of a context.  keep() has it count as not yet passed on, until what it returns is called."""
        slot = _name(head)
        if slot and (slot in self.slots or head.get('keep') is True):
            self._publish(slot, head, bulk, context, keep())

    def joined(self, context: int) -> None:
        """A context is there: tell it what is wanted."""
        for slot in self.slots:
            self._tell_one(context, slot, True)

    def gone(self, context: int) -> None:
        """What a context said last is no longer true."""
        for slot, kept in list(self.kept.items()):
            message = kept.pop(context, None)
            if message:
                for subscription in self.slots.get(slot, ()):
                    subscription.offer(Message(dict(message.head, value=None, gone=True), b''))
            if not kept:
                del self.kept[slot]
        del self._kept_bytes[context]

    def _tell(self, slot: str, wanted: bool) -> None:
        for context in self.mux.router.all():
            self._tell_one(context, slot, wanted)

    def _tell_one(self, context: int, slot: str, wanted: bool) -> None:
        link = self.mux.router.link_of(context)
        if link in self.mux.children:
            self.mux.children[link].link.send(
                Frame(context, ROOT, SUBSCRIBE, 0, pack({'slot': slot, 'wanted': wanted})))

    def _publish(self, slot: str, head: dict[str, Any], bulk: bytes, by: int, release: Callable[[], None]) -> None:
        """`by`: the context or client that says it."""
        source = by if by < FIRST_CLIENT else ROOT
        name = self.mux.contexts.name_of(source) if source else 'controller'
        message = Message({'slot': slot, 'value': head.get('value'), 'source': source, 'name': name,
                           'keep': head.get('keep') is True}, bulk, release)
        if message.head['keep']:
            self._keep(slot, by, message)
        for subscription in list(self.slots.get(slot, ())):
            subscription.offer(message)
        message.release()

    def _keep(self, slot: str, by: int, message: Message) -> None:
        before = self.kept.get(slot, {}).get(by)
        more = message.cost - (before.cost if before else 0)
        most = MAX_KEPT_OF_ONE if by < FIRST_CLIENT else MAX_KEPT
        if self._kept_bytes[by] + more > most or self._kept_bytes.total() + more > MAX_KEPT:
            name = message.head['name']
            self.mux.log.about(name, 30, f'no room to keep what {name} says in {slot}')
            return
        self._kept_bytes[by] += more
        self.kept.setdefault(slot, {})[by] = message

    def _all(self) -> list[Subscription]:
        return [subscription for group in self.slots.values() for subscription in group]

    def describe(self) -> list[dict[str, Any]]:
        """For people and tests."""
        return [{'slot': each.slot, 'policy': each.policy, 'size': each.size, 'bytes': each.bytes,
                 'waiting': len(each.waiting), 'dropped': each.dropped} for each in self._all()]


def _name(head: Any) -> str:
    """The slot that a head names, or nothing."""
    slot = head.get('slot') if isinstance(head, dict) else None
    return slot if isinstance(slot, str) and len(slot) <= MAX_NAME else ''
