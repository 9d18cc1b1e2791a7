"""What a link has to send, in the order in which it goes: docs/decisions/0008-flow-control.md."""

from collections import deque

from ..wire.constants import FORWARD_MODULE, HEARTBEAT, LOAD_MODULE, PUBLISH, SMALL, WINDOW, WINDOW_SIZE
from ..wire.errors import ProtocolError

CONTROL = (HEARTBEAT, WINDOW)
# What a frame takes beyond its payload.
FRAME_COST = 512
# Small frames are joined: one write(2) for many.
BATCH = 1 << 16


def bulk(frame):
    """The bytes that a frame takes of its flow's window."""
    size = len(frame.payload)
    if frame.handle == PUBLISH:
        return size or 1
    return size if size > SMALL and frame.handle not in (FORWARD_MODULE, LOAD_MODULE) else 0


def cost(frame):
    """The bytes that a frame takes here, beyond its window."""
    return 0 if bulk(frame) else len(frame.payload) + FRAME_COST


def flow_of(frame):
    """Publications may have to wait for those who want them; nothing else has to wait for publications."""
    return frame.src, frame.dst, PUBLISH if frame.handle == PUBLISH else 0


class Flow(object):
    """Frames of one flow_of: those that wait, and how many bytes the neighbour has not yet passed on."""

    def __init__(self, key):
        self.key = key
        self.waiting = deque()
        self.under_way = 0
        self.ready = False


class Outbox(object):
    """Frames to a neighbour.  `windows`: it says what it has passed on (see acked), so bulk has to wait for that."""

    def __init__(self, windows):
        self._windows = windows
        self._control, self._calls = deque(), deque()
        self._flows = {}
        self._turns = deque()
        # What is queued and no window bounds, in bytes.
        self.queued = 0

    def put(self, frame, on_taken=None):
        """Queue a frame.  on_taken() is called when it is taken or dropped, if it is bulk; it must not send."""
        if frame.handle in CONTROL:
            self._control.append(frame)
            return
        self.queued += cost(frame)
        key = flow_of(frame)
        flow = self._flows.get(key)
        if bulk(frame) or (flow and flow.waiting):
            if not flow:
                flow = self._flows[key] = Flow(key)
            flow.waiting.append((frame, on_taken))
            self._turn(flow)
        else:
            self._calls.append(frame)

    @property
    def control(self):
        """Number of frames in the first lane."""
        return len(self._control)

    def describe(self):
        """Flows that wait for something: for people."""
        return [{u'src': flow.key[0], u'dst': flow.key[1], u'publications': bool(flow.key[2]),
                 u'waiting': len(flow.waiting), u'under_way': flow.under_way} for flow in self._flows.values()]

    def put_after(self, context, frame):
        """Queue a frame behind all that comes from `context`, but for publications: these are dropped."""
        ours = [flow for flow in self._flows.values() if flow.key[0] == context and flow.waiting]
        for flow in ours:
            if flow.key[2]:
                self._drop(flow)
        flows = [flow for flow in ours if not flow.key[2]]
        left = [len(flows)]

        def one_less():
            left[0] -= 1
            if left[0] <= 0:
                self.put(frame)
        for flow in flows:
            flow.waiting.append((None, one_less))
        if not flows:
            self.put(frame)

    def _turn(self, flow):
        """Let a flow wait for its turn, if it may send."""
        if flow.waiting and not flow.ready:
            frame = flow.waiting[0][0]
            size = bulk(frame) if frame and self._windows else 0
            if not size or not flow.under_way or flow.under_way + size <= WINDOW_SIZE:
                flow.ready = True
                self._turns.append(flow)
        elif not flow.waiting and not flow.under_way:
            self._flows.pop(flow.key, None)

    def acked(self, key, size):
        """The neighbour has passed `size` bytes of a flow on.  Raises ProtocolError where it had not so many."""
        flow = self._flows.get(key)
        if not flow or not 0 < size <= flow.under_way:
            raise ProtocolError('a window of %d bytes that were not sent' % size)
        flow.under_way -= size
        self._turn(flow)

    def take(self):
        """What is to be written next, a list of bytes; empty if there is nothing that may go."""
        parts = self._take_small()
        while not parts and self._turns:
            flow = self._turns.popleft()
            flow.ready = False
            if not flow.waiting:
                continue
            frame, on_taken = flow.waiting.popleft()
            if frame:
                flow.under_way += bulk(frame) if self._windows else 0
                self.queued -= cost(frame)
                parts = [frame.header(), frame.payload]
            self._turn(flow)
            if on_taken:
                on_taken()
            parts = parts or self._take_small()
        return parts

    def _take_small(self):
        parts, size = [], 0
        while (self._control or self._calls) and size < BATCH:
            frame = (self._control or self._calls).popleft()
            parts += [frame.header(), frame.payload]
            size += len(frame.payload)
            self.queued -= 0 if frame.handle in CONTROL else cost(frame)
        return [b''.join(parts)] if parts else []

    def clear(self):
        """Drop all."""
        flows = list(self._flows.values())
        self.__init__(self._windows)
        for flow in flows:
            self._drop(flow)

    def _drop(self, flow):
        waiting, flow.waiting = flow.waiting, deque()
        for frame, on_taken in waiting:
            if frame and on_taken:
                on_taken()
