"""Lanes: requests that are served one after the other, by their numbers: on the way small ones overtake large ones."""

# Lanes where nothing waits are remembered until there are more than this.
MOST = 1024


class Lane(object):
    def __init__(self):
        self.next = 0
        self.waiting = {}
        self.running = None
        self.ended = False


class Lanes(object):
    """The lanes of a broker, by name.  The first request of a lane has number 0.

    A request that expects an answer and gets another one ends its lane: those behind it, now or later, fail as
    'stopped'; they were not begun.
    """

    def __init__(self):
        self._lanes = {}

    def enter(self, name, number, call, serve):
        """Have serve() called when those before `call` in this lane have their answers."""
        lane = self._lanes.setdefault(name, Lane())
        lane.waiting[number] = call, serve
        call.on_done = lambda: self._done(lane, call)
        self._go_on(lane)
        if len(self._lanes) > MOST:
            for idle in [key for key, other in self._lanes.items() if not other.waiting and not other.running]:
                if idle != name:
                    del self._lanes[idle]

    def _done(self, lane, call):
        if lane.running is call:
            lane.running = None
            lane.next += 1
            lane.ended = lane.ended or call.as_expected is False
            self._go_on(lane)

    @staticmethod
    def _go_on(lane):
        while lane.running is None and lane.next in lane.waiting:
            call, serve = lane.waiting.pop(lane.next)
            if call.state == 'done':  # nobody waits for it any more
                lane.next += 1
                continue
            lane.running = call
            if lane.ended:
                call.fail('stopped', 'what came before it went another way')
            else:
                serve()
