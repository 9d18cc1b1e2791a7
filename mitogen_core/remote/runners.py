"""The broker's side of its runners: a pool that grows on demand and that no call waits for while it may grow.

The code of runners is not among what each broker is born with (bootstrap.LATE): it comes with the first module.
"""

from ..wire.constants import CALL_SERVICE, CANCEL, FORWARD_LOG, LOAD_MODULE, PUBLISH, ROOT, SHUTDOWN
from ..wire.errors import ProtocolError
from ..wire.frames import Frame
from ..wire.payloads import MORE, frames, is_piece, pack, unpack
from .children import kill_group
from .link import Link
from .loop import close
from .runner import start

# Runners of one account.  Stock Ansible would start as many modules at once as it has forks.
MAX_RUNNERS = 64


class Runner(object):
    """One runner process as the broker sees it."""

    def __init__(self, pool):
        self.pool = pool
        self.broker = pool.broker
        self.known = set()
        self.call = None
        self.executor = None
        # Of what comes late, a runner has what was there when it was forked.
        self.detaches = u'jobs' in self.broker.services
        self.pid, fd = start(self.broker.loop, pool.forget)
        self.link = Link(self.broker.loop, fd, fd, self._on_frame, self._on_close, self.pid)
        self.link.event('hello')
        self.broker.reaper.watch(self.pid, lambda status: None)

    def submit(self, call, handle, head, bulk):
        call.event('start')
        call.on_cancel = self._cancel
        self.call = call
        store = self.broker.store
        digests = set([head[u'closure']]) | set(store.files(head[u'closure']).values())
        for digest in digests - self.known:
            self.link.send(*frames(0, 0, LOAD_MODULE, 0, {u'digest': digest}, store.blobs[digest]))
        self.known |= digests
        self.link.send(*frames(0, 0, handle, 0, head, bulk))

    def _cancel(self):
        if self.executor:
            # Its supervisor may be waiting for somebody who wants what it publishes.
            kill_group(self.executor)
        self.link.send(Frame(0, 0, CANCEL, 0, pack(None)))

    def _on_frame(self, link, frame):
        if frame.handle == FORWARD_LOG:
            self.broker.parent.pass_on(Frame(ROOT, self.broker.id, FORWARD_LOG, 0, frame.payload), link)
            return
        if frame.handle == PUBLISH:
            self._on_published(frame)
            return
        if is_piece(frame.payload):
            if self.call:
                self.call.pass_on(frame.payload, link)
            return
        head, output = unpack(frame.payload)
        if u'pid' in head:
            self.executor = head[u'pid']
            return
        call, self.call, self.executor = self.call, None, None
        if call:
            try:
                if u'error' in head:
                    call.fail(head[u'error'][0], head[u'error'][1])
                else:
                    call.reply(head, output)
            except ProtocolError as e:  # it fitted only just
                call.fail('internal', '%s' % e)
        self.pool.idle(self)

    def _on_published(self, frame):
        """What a function publishes, or what a module's command prints: that is its caller's alone."""
        head, data = unpack(frame.payload)
        if u'live' not in head:
            self.broker.publish(frame.payload, self.link)
        elif self.call:
            self.call.pass_on(pack([u'progress', head], data, MORE), self.link)

    def _on_close(self, link, reason):
        if self.executor:
            kill_group(self.executor)
        if self.call:
            call, self.call = self.call, None
            call.fail('died', 'the runner (pid %d) died during the call' % self.pid)
        self.pool.gone(self)

    def end(self):
        """End it now; what it is executing is killed, what earlier calls left running is not."""
        if self.executor:
            kill_group(self.executor)
        self.link.send(Frame(0, 0, SHUTDOWN, 0, pack(None)))
        self.link.close('shutdown')


class Modules(object):
    """The service `modules`: runs Ansible modules, and functions, in runners."""

    def __init__(self, broker):
        self.broker = broker
        self.runners = []
        self.free = []
        self.queue = []

    def do_run(self, call, args, bulk):
        """args: see execute; the bulk is the module's parameters.  The answer has rc, and out: how much of its bulk is
        stdout; the rest is stderr."""
        self.run(call, CALL_SERVICE, args, bulk)

    def run(self, call, handle, head, bulk):
        """Have a runner execute the call once all of its code is here."""
        store, end = self.broker.store, head.get(u'end')
        missing = store.missing(head[u'closure'])
        if end and end not in store.blobs:
            missing = missing + [end]
        if not missing:
            return self.submit(call, handle, head, bulk + store.source(end) if end else bulk)
        count = [len(missing)]

        def arrived(digest):
            count[0] -= 1
            if not count[0] and call.state == 'waiting':
                self.broker.guard(call, self.run, call, handle, head, bulk)
        self.broker.get_code(missing, arrived)

    def submit(self, call, handle, head, bulk):
        """Run the call in an idle runner, in a new one, or, at the limit, when one becomes idle."""
        able = [runner for runner in self.free if runner.detaches or not head.get(u'job')]
        if not able and self.free and len(self.runners) >= MAX_RUNNERS:
            self.free[0].end()
        if not able and len(self.runners) < MAX_RUNNERS:
            able = [Runner(self)]
            self.runners += able
            self.free += able
        if able:
            self.free.remove(able[-1])
            able[-1].submit(call, handle, head, bulk)
        else:
            self.queue.append((call, handle, head, bulk))

    def idle(self, runner):
        self.free.append(runner)
        while self.queue and self.free:
            request = self.queue.pop(0)
            if request[0].state == 'waiting':
                self.submit(*request)

    def gone(self, runner):
        for group in (self.runners, self.free):
            if runner in group:
                group.remove(runner)

    def shutdown(self):
        for runner in list(self.runners):
            runner.end()

    def forget(self):
        """In a forked runner: nothing of the broker's may stay open."""
        broker = self.broker
        fds = set((broker.parent.rfd, broker.parent.wfd))
        for link in [r.link for r in self.runners] + [c.link for c in broker.children.values() if c.link]:
            fds.update((link.rfd, link.wfd))
        for child in broker.children.values():
            fds.update(child.fds)
        for command in broker.services['processes'].running:
            fds.update(command.fds())
        broker.reaper.forget()
        broker.loop.forget()
        close(*fds)


SERVICE = Modules
