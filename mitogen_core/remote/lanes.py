"""Lanes: requests that are served one after the other, by their numbers: on the way small ones overtake large ones."""

import collections

# Of lanes where nothing waits, those used last are remembered.
MOST = 4096


class Lane(object):
    def __init__(self):
        self.next = 0
        self.waiting = {}
        self.running = None
        self.ended = False
        self.choice = None


class Lanes(object):
    """The lanes of a broker, by name.  The first request of a lane has number 0.

    A request that expects an answer and gets another one ends its lane: those behind it, now or later, fail as
    'stopped'; they were not begun.  One that has choices lets those behind it that are of another choice fail as
    'skipped'; an answer that is like none of them was not expected.
    """

    def __init__(self):
        self._lanes = collections.OrderedDict()

    def enter(self, name, number, call, serve, last=False, choice=None):
        """Have serve() called when those before `call` in this lane have their answers; `last`: none will come."""
        lane = self._lanes.pop(name, None) or Lane()
        self._lanes[name] = lane
        lane.waiting[number] = call, serve, choice
        call.on_done = lambda: self._done(name, lane, number, call, last)
        self._go_on(lane)
        if len(self._lanes) > MOST:
            self._forget_one()

    def _forget_one(self):
        for name, lane in self._lanes.items():
            if not lane.waiting and not lane.running:
                del self._lanes[name]
                return

    def _done(self, name, lane, number, call, last):
        if lane.running is call:
            lane.running = None
            lane.next += 1
            # Also by one that nobody waits for any more: it may not have been begun.
            lane.ended = lane.ended or not call.as_expected
            lane.choice = lane.choice if call.choice is None else call.choice
            if last:
                self._lanes.pop(name, None)
            self._go_on(lane)
        elif number in lane.waiting:  # nobody waits for it any more; its turn is to come
            lane.waiting[number] = call, None, None

    @staticmethod
    def _go_on(lane):
        while lane.running is None and lane.next in lane.waiting:
            call, serve, choice = lane.waiting.pop(lane.next)
            if call.state == 'done':
                lane.next += 1
                continue
            lane.running = call
            if lane.ended:
                call.fail('stopped', 'what came before it went another way')
            elif choice not in (None, lane.choice):
                call.skip()
            else:
                serve()
