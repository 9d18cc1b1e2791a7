"""The broker: the process of an account on a target that routes, caches code, and has others do the work.

It has no threads, never runs foreign code, and never waits for anything but its event loop; so a broker that is silent
is gone, whatever its runners are doing.
"""

import os
import pwd
import socket
import sys

from ..wire import states
from ..wire.choices import choose
from ..wire.constants import (
    ADD_ROUTE,
    CALL_FUNCTION,
    CALL_SERVICE,
    CANCEL,
    DEL_ROUTE,
    FORWARD_LOG,
    FORWARD_MODULE,
    GET_MODULE,
    HELLO,
    IS_DEAD,
    LOAD_MODULE,
    PUBLISH,
    ROOT,
    SHUTDOWN,
    SUBSCRIBE,
)
from ..wire.errors import ProtocolError
from ..wire.frames import Frame
from ..wire.hello import hello
from ..wire.payloads import MORE, Assembler, frames, is_piece, pack, unpack
from ..wire.py23 import fs_text, to_native, to_text
from ..wire.router import DEAD, DELIVER, DOWN, PARENT, REFUSE, UP, Router
from .children import Reaper, wait_for
from .lanes import Lanes
from .link import SILENT, Link
from .outbox import bulk
from .services import SERVICES
from .store import Store


class Call(object):
    """A request being served; answered once.  `done` tells whoever works on it that nobody waits any more."""

    on_done = None

    def __init__(self, broker, frame):
        self.broker = broker
        self.src, self.reply_to = frame.src, frame.reply_to
        self.state = 'waiting'
        self.since = broker.loop.clock()
        self.on_cancel = None
        # Of a lane: [value, bulk] of the only answer that it goes on after, or choices; was it so, and which was it?
        self.expected = self.choices = None
        self.as_expected = self.choice = None
        broker.calls[(self.src, self.reply_to)] = self

    def event(self, event):
        """Note an event of the table CALL."""
        self.state = states.step(states.CALL, self.state, event)
        if self.state == 'done':
            self.broker.calls.pop((self.src, self.reply_to), None)
            if self.on_done:
                self.on_done()

    def progress(self, head, bulk=b''):
        """Send something that is not yet the answer."""
        self._send([u'progress', head], bulk, MORE)

    def pass_on(self, payload, source):
        """Send a piece of the answer's bulk, or progress, on behalf of a frame that came from the link `source`."""
        if self.reply_to and self.state == 'running':
            self.broker.parent.pass_on(Frame(self.src, self.broker.id, self.reply_to, 0, payload), source)

    def reply(self, value=None, bulk=b''):
        """Send the answer."""
        self.as_expected = self.expected in (None, [value, bulk])
        if self.choices:
            self.choice = choose(self.choices, value, bulk)
            self.as_expected = self.choice is not None
        self._send([u'ok', value], bulk)
        self.event('answer')

    def fail(self, kind, text):
        """Send the news that the call failed."""
        self.as_expected = not (self.expected or self.choices)
        self._send([u'error', {u'kind': to_text(kind), u'text': to_text(text)}])
        self.event('answer')

    def skip(self):
        """Fail, as those of another choice do; their lane goes on."""
        self.expected = self.choices = None
        self.fail('skipped', 'what came before it was another choice')

    def cancel(self):
        """Nobody waits for the answer any more."""
        self.event('cancel')
        if self.on_cancel:
            self.on_cancel()

    def _send(self, head, bulk=b'', flags=0):
        if self.reply_to and self.state in ('waiting', 'running'):
            self.broker.send(self.src, self.reply_to, head, bulk, flags)


class Broker(object):
    """Context `context_id`; `link_fds` (read, write) lead to the parent."""

    def __init__(self, loop, context_id, link_fds, boot):
        self.loop = loop
        self.boot = boot
        self.router = Router(context_id)
        self.reaper = Reaper(loop)
        self.store = Store()
        self.assembler = Assembler()
        self.calls = {}
        self.children = {}
        self.wanted = {}
        self.slots = set()
        self.lanes = Lanes()
        self.ending = False
        self.refused = 0
        self.services = dict((name, service(self)) for name, service in SERVICES.items())
        self.parent = Link(loop, link_fds[0], link_fds[1], self.on_frame, self.on_close, PARENT, True)

    @property
    def id(self):
        return self.router.me

    # links

    def send(self, dst, handle, head, bulk=b'', flags=0):
        """Send a message up, or down where `dst` is a descendant."""
        link = self.router.link_of(dst)
        (self.children[link].link if link is not None else self.parent).send(
            *frames(dst, self.id, handle, 0, head, bulk, flags))

    def log(self, level, text):
        """A record for the controller's log; `level` as in the logging module."""
        self.send(ROOT, FORWARD_LOG, {u'level': level, u'name': u'mitogen.broker', u'text': to_text(text)})

    def publish(self, payload, source):
        """Send on what came from the link `source`, if there is a subscriber, or it is to be kept."""
        head = unpack(payload)[0]
        if head[u'keep'] or head[u'slot'] in self.slots:
            self.parent.pass_on(Frame(ROOT, self.id, PUBLISH, 0, payload), source)

    def on_frame(self, link, frame):
        if link.state == 'booting':
            return self._on_hello(link, frame)
        link.event('frame')
        decision, where = self.router.decide(frame, link.name)
        try:
            self._take(link, frame, decision, where)
        except Exception as e:
            if link is self.parent or frame.src == link.name:
                raise
            # Of one that has others between itself and here: their link stays.
            self.refuse(frame, e)

    def _take(self, link, frame, decision, where):
        if decision == DELIVER:
            self.deliver(link, frame)
        elif decision == UP and frame.handle in (ADD_ROUTE, DEL_ROUTE) and frame.dst == ROOT:
            self._on_route(link, frame)
        elif decision == UP:
            self.parent.pass_on(frame, link)
        elif decision == DOWN:
            self.children[where].link.pass_on(frame, link)
        elif decision == DEAD:
            if frame.reply_to and frame.reply_to != IS_DEAD and not is_piece(frame.payload):
                link.send(Frame(frame.src, self.id, frame.reply_to, IS_DEAD, pack(to_text(where))))
        elif decision == REFUSE:
            self.refuse(frame, where)

    def refuse(self, frame, why):
        # Now and then only: whoever sends such frames can send many.
        self.refused += 1
        if not self.refused & (self.refused - 1):
            self.log(30, 'refused %r: %.200s (%d so far)' % (frame, why, self.refused))

    def _on_route(self, link, frame):
        """News of a descendant's children: this context passes their frames on too."""
        if bulk(frame):
            raise ProtocolError('a route of %d bytes' % len(frame.payload))
        context_id = unpack(frame.payload)[0][u'id']
        at = self.router.link_of(context_id)
        if frame.handle == DEL_ROUTE and at == link.name:
            self.router.remove(context_id, link.name)
            self.parent.send_after(context_id, frame, link)
        elif frame.handle == ADD_ROUTE and at in (None, link.name) and context_id not in self.children:
            self.router.add(context_id, link.name)
            self.parent.pass_on(frame, link)
        else:
            self.refuse(frame, 'the route of another')

    def on_silence(self, link, seconds, over):
        """A neighbour says nothing, or does so again: see Link.keep_alive."""
        child = self.children.get(link.name)
        if over:
            (child.abort if child else link.close)(SILENT % seconds)
        elif child:
            self.log(30, 'context %d: %s' % (link.name, SILENT % seconds if seconds else 'it is back'))

    def _on_hello(self, link, frame):
        if frame.handle != HELLO:
            raise ProtocolError('a frame before the hello')
        link.event('hello')
        if link is not self.parent:
            self.children[link.name].on_hello(unpack(frame.payload)[0])

    def on_close(self, link, reason):
        if link is self.parent:
            if reason != 'end of stream':
                try:
                    os.write(2, ('mitosis broker: %s\n' % reason).encode('ascii', 'replace'))
                except OSError:
                    pass
            self.shutdown()
        else:
            child = self.children.pop(link.name, None)
            for gone in self.router.remove_link(link.name):
                self.parent.send_after(gone, Frame(ROOT, self.id, DEL_ROUTE, 0,
                                                   pack({u'id': gone, u'reason': to_text(reason)})))
            if child:
                child.on_end(reason)

    # messages for this context

    def deliver(self, link, frame):
        if link is not self.parent:
            return self._deliver_from_child(link, frame)
        if frame.reply_to == IS_DEAD:
            return
        message = self.assembler.feed(frame)
        if message is None:
            return
        head, bulk = message
        if frame.handle in (FORWARD_MODULE, LOAD_MODULE):
            self._on_code(head, bulk)
        elif frame.handle == CALL_SERVICE:
            self._on_service(frame, head, bulk)
        elif frame.handle == CALL_FUNCTION:
            self.with_service('modules', Call(self, frame), self._run, head, bulk)
        elif frame.handle == CANCEL:
            for handle in (CALL_SERVICE, CALL_FUNCTION):
                self.assembler.drop(frame.src, handle, head)
            call = self.calls.get((frame.src, head))
            if call and call.state in ('waiting', 'running'):
                call.cancel()
        elif frame.handle == SUBSCRIBE:
            (self.slots.add if head[u'wanted'] else self.slots.discard)(head[u'slot'])
        elif frame.handle == SHUTDOWN:
            self.shutdown()
        else:
            self.log(30, 'no use for %r' % frame)

    def _deliver_from_child(self, link, frame):
        head, _bulk = unpack(frame.payload)
        if frame.handle == GET_MODULE:
            self.get_code(set(head), lambda digest: link.send(
                *frames(frame.src, self.id, LOAD_MODULE, 0, {u'digest': digest}, self.store.blobs[digest])))
        else:
            self.log(30, 'no use for %r' % frame)

    def _on_service(self, frame, head, bulk):
        call = Call(self, frame)
        self.guard(call, self._ask, call, head, bulk)

    def _ask(self, call, head, bulk):
        if len(head) == 3:
            self.with_service(head[0], call, self._serve, head, bulk)
        else:
            self._serve(call, None, head, bulk)

    def with_service(self, name, call, action, *args):
        """action(call, service, *args), as soon as the service is here; it is None where there is no such."""
        def act(digest=None):
            if call.state == 'waiting':
                self.guard(call, load_and_act, digest)

        def load_and_act(digest):
            if digest and name not in self.services:
                self.services[name] = self._load(name, digest)
            action(call, self.services.get(name), *args)
        digest = self.boot[u'late'].get(name)
        if digest and name not in self.services:
            self.get_code([digest], act)
        else:
            act()

    def _serve(self, call, service, head, bulk):
        handler = getattr(service, 'do_%s' % (head[1],), None) if service else None
        if handler:
            # Any request may be in a lane (its name, the number in it, and 'last'): see Lanes.
            args = head[2]
            lane, choice = args.pop(u'lane', None), args.pop(u'choice', None)
            call.expected, call.choices = args.pop(u'expect', None), args.pop(u'choices', None)
            if lane:
                self.lanes.enter(lane[0], lane[1], call, lambda: self.guard(call, handler, call, args, bulk),
                                 bool(lane[2:]), choice)
            else:
                handler(call, args, bulk)
        else:
            # Without its arguments, in which a password may be.
            call.fail('service', 'no such service: %.200s' % '.'.join(to_text(name) for name in head[:2]))

    def _load(self, name, digest):
        """A service that this process was not born with: texts of modules, of which the last one has it."""
        texts = self.store.source(digest).decode('ascii').split('\0')
        self.boot[u'texts'].update(zip([to_native(module) for module in texts[::2]], texts[1::2]))
        __import__(to_native(texts[-2]))
        return sys.modules[to_native(texts[-2])].SERVICE(self)

    def guard(self, call, action, *args):
        """action(*args); what it raises is the call's failure."""
        try:
            action(*args)
        except (OSError, IOError) as e:
            call.fail('os', '%s' % (e.strerror or e))
        except Exception as e:
            call.fail('internal', '%s: %s' % (type(e).__name__, e))

    # code

    def _on_code(self, head, blob):
        digest = head[u'digest']
        self.store.add(digest, blob)
        for callback in self.wanted.pop(digest, ()):
            callback(digest)

    def get_code(self, digests, callback):
        """callback(digest) for each, as soon as it is here; asks the parent for what is missing."""
        missing = []
        for digest in digests:
            if digest in self.store.blobs:
                callback(digest)
            else:
                if digest not in self.wanted:
                    missing.append(digest)
                self.wanted.setdefault(digest, []).append(callback)
        if missing:
            self.parent.send(*frames(self.parent_id, self.id, GET_MODULE, 0, missing))

    @property
    def parent_id(self):
        return self.boot[u'parent']

    def _run(self, call, modules, head, bulk):
        modules.run(call, CALL_FUNCTION, head, bulk)

    # life

    def dump(self):
        """SIGUSR1: say in the log what there is."""
        def say(call, status):
            self.log(20, status.text())
            call.reply()
        self.with_service('status', Call(self, Frame(self.id, self.id, 0)), say)

    def add_route(self, context_id, link_name):
        self.router.add(context_id, link_name)
        self.send(ROOT, ADD_ROUTE, {u'id': context_id, u'parent': self.id})

    def hello(self):
        """What this context says of itself."""
        try:
            user = pwd.getpwuid(os.getuid())
            name, home = user.pw_name, user.pw_dir
        except KeyError:
            name, home = '', os.environ.get('HOME', '/')
        return hello(self.id, os.getpid(), python=list(sys.version_info[:3]), executable=fs_text(sys.executable or ''),
                     user=fs_text(name), uid=os.getuid(), home=fs_text(home), host=fs_text(socket.gethostname()))

    def shutdown(self):
        """End everything below, then this process.  Children see the end of their link and do the same."""
        if self.ending:  # by now the parent may not hear us
            return
        self.ending = True
        try:
            self._end_all()
        finally:  # whatever goes wrong
            os._exit(0)

    def _end_all(self):
        for call in list(self.calls.values()):
            if call.state != 'cancelled':
                call.cancel()
        modules = self.services.get('modules')
        pids = [child.pid for child in list(self.children.values()) + (modules.runners if modules else []) if child.pid]
        for child in list(self.children.values()):
            child.end()
        if modules:
            modules.shutdown()
        self.services['processes'].shutdown()
        # Who ended this context may be about to change or remove its account.
        wait_for(pids, 2)
