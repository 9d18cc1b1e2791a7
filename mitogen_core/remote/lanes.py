"""Lanes: requests that are served one after the other, in the order in which they came."""

# Names of lanes that ended are remembered until as many others have.
ENDED = 64


class Lanes(object):
    """The lanes of a broker, by name.

    A request that expects an answer and gets another one ends its lane: those behind it, now or later, fail as
    'stopped'; they were not begun.
    """

    def __init__(self):
        self._requests = {}
        self._ended = []

    def enter(self, name, call, serve):
        """Have serve() called when all that came before `call` in this lane have their answers."""
        if name in self._ended:
            return call.fail('stopped', 'what came before it went another way')
        requests = self._requests.setdefault(name, [])
        requests.append((call, serve))
        call.on_done = lambda: self._next(name, requests)
        if len(requests) == 1:
            serve()

    def _next(self, name, requests):
        while requests and requests[0][0].state == 'done':
            call = requests.pop(0)[0]
            if call.as_expected is False and name not in self._ended:
                self._ended = self._ended[-ENDED + 1:] + [name]
            if requests and requests[0][0].state == 'done':
                continue
            if requests and name in self._ended:
                # Its end calls this again, for the one behind it.
                return requests[0][0].fail('stopped', 'what came before it went another way')
            if requests:
                return requests[0][1]()
        if not requests:
            self._requests.pop(name, None)
