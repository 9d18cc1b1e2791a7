"""An event loop without threads: file descriptors, timers, children."""

import errno
import fcntl
import heapq
import os
import select

from ..wire.py23 import LONGEST_WAIT, monotonic

IN, OUT, HANGUP = 1, 4, 0x18  # POLLIN, POLLOUT, POLLERR|POLLHUP: the same for poll(2) and epoll(7)


class _Kqueue(object):
    """kqueue(2) behind the interface of select.poll."""

    def __init__(self):
        self._queue = select.kqueue()
        self._masks = {}

    def register(self, fd, mask):
        self.modify(fd, mask)

    def modify(self, fd, mask):
        old = self._masks.get(fd, 0)
        changes = []
        for bit, kind in ((IN, select.KQ_FILTER_READ), (OUT, select.KQ_FILTER_WRITE)):
            if (mask ^ old) & bit:
                flag = select.KQ_EV_ADD if mask & bit else select.KQ_EV_DELETE
                changes.append(select.kevent(fd, kind, flag))
        self._masks[fd] = mask
        if changes:
            self._queue.control(changes, 0)

    def unregister(self, fd):
        self.modify(fd, 0)
        del self._masks[fd]

    def poll(self, timeout=None):
        found = self._queue.control(None, 64, timeout)
        return [(e.ident, OUT if e.filter == select.KQ_FILTER_WRITE else IN) for e in found]


def _poller():
    """(poller, units per second of its timeout)."""
    if hasattr(select, 'epoll'):
        poller = select.epoll()
        set_cloexec(poller.fileno())
        return poller, 1
    return (select.poll(), 1000) if hasattr(select, 'poll') else (_Kqueue(), 1)


class Loop(object):
    """Calls back what asked to be called.  `clock` returns seconds."""

    def __init__(self, clock=monotonic):
        self.clock = clock
        self._poller, self._unit = _poller()
        self._fds = {}
        self._timers = []
        self._count = 0
        self._soon = []
        self.running = False

    def watch(self, fd, on_read=None, on_write=None):
        """Call on_read() or on_write() whenever `fd` is ready; with neither, forget it."""
        mask = (IN if on_read else 0) | (OUT if on_write else 0)
        known = fd in self._fds
        if mask:
            (self._poller.modify if known else self._poller.register)(fd, mask)
            self._fds[fd] = (on_read, on_write)
        elif known:
            del self._fds[fd]
            try:
                self._poller.unregister(fd)
            except (OSError, IOError):
                pass

    def later(self, seconds, callback):
        """Call callback() after `seconds`; returns a token for `cancel`."""
        self._count += 1
        timer = [self.clock() + seconds, self._count, callback]
        heapq.heappush(self._timers, timer)
        return timer

    def cancel(self, timer):
        if timer:
            timer[2] = None

    def soon(self, callback):
        """Call callback() before the next wait."""
        self._soon.append(callback)

    def _timeout(self):
        while self._timers and self._timers[0][2] is None:
            heapq.heappop(self._timers)
        if self._soon:
            return 0
        if not self._timers:
            return None
        return min(max(0, self._timers[0][0] - self.clock()), LONGEST_WAIT)

    def step(self):
        """One wait and what it woke."""
        timeout = self._timeout()
        try:
            if timeout is None:
                events = self._poller.poll()
            else:
                # A fraction more than asked, so that the timer has come when the wait ends.
                events = self._poller.poll(timeout * self._unit + (1 if self._unit > 1 else 0.0005))
        except (OSError, IOError, select.error) as e:
            if e.args[0] != errno.EINTR:
                raise
            events = []
        for fd, mask in events:
            for bit, which in ((IN | HANGUP, 0), (OUT | HANGUP, 1)):
                callback = self._fds.get(fd, (None, None))[which]
                if callback and mask & bit:
                    callback()
        while self._timers and self._timers[0][0] <= self.clock():
            callback = heapq.heappop(self._timers)[2]
            if callback:
                callback()
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()

    def run(self):
        """Go on until stop()."""
        self.running = True
        while self.running:
            self.step()

    def stop(self):
        self.running = False

    def forget(self):
        """In a forked child: drop everything without touching what the parent watches."""
        self._fds, self._timers, self._soon = {}, [], []
        if hasattr(self._poller, 'close'):
            self._poller.close()
        self._poller = None


def set_nonblocking(fd):
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


def set_cloexec(fd):
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.fcntl(fd, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)


def pipe():
    """A pipe whose ends are closed on exec in every Python."""
    ends = os.pipe()
    for fd in ends:
        set_cloexec(fd)
    return ends


def close(*fds):
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass


def read(fd, size):
    """Bytes, b'' at the end, None where nothing is there yet."""
    try:
        return os.read(fd, size)
    except OSError as e:
        if e.errno in (errno.EAGAIN, errno.EINTR):
            return None
        return b''
