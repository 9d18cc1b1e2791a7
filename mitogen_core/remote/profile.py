"""The service `profile`: cProfile of a broker and its runners (profiled.py).  It is sent only where it is asked for."""

import cProfile
import json
import os
import zlib

from ..wire.constants import SHUTDOWN
from ..wire.frames import Frame
from ..wire.payloads import pack

PROFILER = cProfile.Profile()
# What runners may take to tell and end.
SECONDS = 5


def stats(role):
    """({'profile': role, 'pid'}, deflated JSON): rows of file, line, function, primitive calls, calls, own and total
    seconds."""
    PROFILER.create_stats()
    rows = [list(where) + list(row[:4]) for where, row in PROFILER.stats.items()]
    return {u'profile': role, u'pid': os.getpid()}, zlib.compress(json.dumps(rows).encode('ascii'))


class Ending(object):
    """Stands for the call of a runner that is to end: what the runner tells is progress of the request for it."""

    def __init__(self, call, when_ended):
        self.call, self.when_ended = call, when_ended

    def pass_on(self, payload, source):
        self.call.pass_on(payload, source)

    def reply(self, value=None, bulk=b''):
        pass

    def fail(self, kind, text):
        self.when_ended()


class Profile(object):
    def __init__(self, broker):
        self.broker = broker

    def do_start(self, call, args, bulk):
        """Profile from now on, and each runner that is not there yet."""
        def start(call, modules):
            from . import profiled  # noqa: F401
            PROFILER.enable()
            call.reply()
        self.broker.with_service('modules', call, start)

    def do_take(self, call, args, bulk):
        """What was found, as progress: see `stats`.  Ends the runners."""
        call.event('start')
        modules = self.broker.services['modules']
        left = set(modules.runners)

        def ended(runner=None):
            left.discard(runner)
            if call.state == 'running' and (not left or not runner):
                call.progress(*stats(u'broker'))
                call.reply()
        for runner in list(left):
            runner.call = Ending(call, lambda runner=runner: ended(runner))
            runner.link.send(Frame(0, 0, SHUTDOWN, 0, pack(None)))
        self.broker.loop.later(SECONDS if left else 0, ended)


SERVICE = Profile
