"""A link: frames to and from one neighbour over two file descriptors."""

import errno
import os
from collections import deque

from ..wire.constants import HEARTBEAT, HIGH_WATER, READ_SIZE
from ..wire.errors import ProtocolError
from ..wire.frames import Frame, FrameDecoder
from ..wire.states import LINK, step
from .loop import close, read, set_cloexec, set_nonblocking

# Why a link is given up.
SILENT = 'no word for %d s; the host, or the way to it, may be down (see mitosis_alive_timeout)'


class Link(object):
    """Non-blocking; reports frames by on_frame(link, frame) and its end, once, by on_close(link, reason)."""

    def __init__(self, loop, rfd, wfd, on_frame, on_close, name=''):
        self.loop = loop
        self.rfd, self.wfd = rfd, wfd
        self.on_frame, self.on_close = on_frame, on_close
        self.name = name
        self.state = 'booting'
        self.queued = 0
        self.sent = self.received = 0
        self._heard_at = loop.clock()
        self._out = deque()
        self._decoder = FrameDecoder()
        self._waiting = []
        self._paused = 0
        for fd in (rfd, wfd):
            set_nonblocking(fd)
            set_cloexec(fd)
        self._watch()

    def _watch(self):
        on_read = None if self._paused else self._readable
        on_write = self._writable if self._out else None
        if self.rfd == self.wfd:
            self.loop.watch(self.rfd, on_read, on_write)
        else:
            self.loop.watch(self.rfd, on_read)
            self.loop.watch(self.wfd, None, on_write)

    def event(self, event):
        """Note an event of the table LINK."""
        self.state = step(LINK, self.state, event)

    def send(self, *frames):
        """Queue frames, and write what can be written at once."""
        if self.state == 'closed':
            return
        for frame in frames:
            self._put(frame.header())
            self._put(frame.payload)
        self._writable()

    def _put(self, data):
        if len(data):
            # Small pieces are joined: one write(2) for many frames.
            if self._out and len(self._out[-1]) + len(data) < 16384 and self._out[-1].__class__ is bytes:
                self._out[-1] += bytes(data)
            else:
                self._out.append(data)
            self.queued += len(data)

    def _writable(self):
        if self.state == 'closed':
            return
        try:
            while self._out:
                data = self._out[0]
                count = os.write(self.wfd, data)
                self.queued -= count
                self.sent += count
                if count < len(data):
                    self._out[0] = memoryview(data)[count:]
                else:
                    self._out.popleft()
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EINTR):
                self.close('write: %s' % os.strerror(e.errno))
                return
        if self._waiting and self.queued < HIGH_WATER:
            waiting, self._waiting = self._waiting, []
            for other in waiting:
                other.resume()
        self._watch()

    def hold(self, other):
        """Let `other` not read until this link has room again."""
        if self.queued > HIGH_WATER and other not in self._waiting and other is not self:
            self._waiting.append(other)
            other.pause()

    def pause(self):
        self._paused += 1
        self._watch()

    def resume(self):
        self._paused -= 1
        if self.state != 'closed':
            self._watch()

    # life signs

    def keep_alive(self, interval, timeout, on_silence):
        """Say something at least every 3/4 of `interval` seconds, and expect as much of the peer.

        on_silence(link, seconds, over): it was silent for 2 * `interval`; with 0, it is back; with `over`, it was for
        almost `timeout` (at least 2 * `interval`), and the link has to be ended.  `interval` 0: no life signs.
        """
        self._on_silence, self._period = on_silence, interval / 4.0
        self._timeout = max(timeout, 2 * interval)
        self._quiet, self._silent = 0, False
        if interval > 0:
            self._listen_on()

    def _listen_on(self):
        self._sent_before, self._beat_at = self.sent, self.loop.clock()
        self.loop.later(self._period, self._beat)

    def _beat(self):
        if self.state == 'closed':
            return
        now = self.loop.clock()
        # One who was stopped, or does not read on purpose, has not heard what was said.
        if self._paused or now - self._beat_at > 2 * self._period:
            self._heard_at = now
        silence = now - self._heard_at
        if silence >= self._timeout - self._period:
            return self._on_silence(self, silence, True)
        if self._silent != (silence >= 8 * self._period):
            self._silent = not self._silent
            self._on_silence(self, silence if self._silent else 0, False)
        self._quiet = 0 if self.sent != self._sent_before else self._quiet + 1
        if self._quiet > 1 and not self._out:
            self._quiet = 0
            self.send(Frame(0, 0, HEARTBEAT))
        if self.state != 'closed':
            self._listen_on()

    def _readable(self):
        data = read(self.rfd, READ_SIZE)
        if data is None:
            return
        if not data:
            self.close('end of stream')
            return
        self.feed(data)

    def feed(self, data):
        """Take bytes that were read from this link."""
        self.received += len(data)
        self._heard_at = self.loop.clock()
        try:
            for frame in self._decoder.feed(data):
                if self.state == 'closed':
                    return
                if frame.handle != HEARTBEAT:
                    self.on_frame(self, frame)
        except ProtocolError as e:
            self.close('protocol error: %s' % e)
        except Exception as e:
            # What a peer sends may surprise us; it must not end more than its own link.
            self.close('unusable message: %s: %.200r' % (type(e).__name__, e))

    def close(self, reason):
        """End the link.  What was queued and can't be written at once is dropped."""
        if self.state == 'closed':
            return
        self.state = 'closed'
        self.loop.watch(self.rfd)
        self.loop.watch(self.wfd)
        close(*set((self.rfd, self.wfd)))
        self._out.clear()
        self.queued = 0
        for other in self._waiting:
            other.resume()
        self._waiting = []
        self.on_close(self, reason)
