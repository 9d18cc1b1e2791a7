"""A link: frames to and from one neighbour over two file descriptors."""

import errno
import os

from ..wire.constants import HEARTBEAT, HIGH_WATER, READ_SIZE, WINDOW, WINDOW_SIZE
from ..wire.errors import ProtocolError
from ..wire.frames import Frame, FrameDecoder
from ..wire.payloads import SIZE
from ..wire.states import LINK, step
from .loop import close, read, set_cloexec, set_nonblocking
from .outbox import Outbox, bulk, flow_of

# Bytes of bulk, in all flows, that a link may have waiting here before no more is read, and of other frames that may
# wait for a link before it is given up.
MAX_HELD = 64 << 20
# Words to a neighbour about its windows that it has not read.
MAX_CONTROL = 1 << 14
# Why a link is given up.
SILENT = 'no word for %d s; the host, or the way to it, may be down (see mitosis_alive_timeout)'


class Link(object):
    """Non-blocking; reports frames by on_frame(link, frame) and its end, once, by on_close(link, reason).

    `windows`: a link between contexts, whose ends tell each other what of each flow they have passed on.  From others
    not more is read than can be passed on.
    """

    def __init__(self, loop, rfd, wfd, on_frame, on_close, name='', windows=False):
        self.loop = loop
        self.rfd, self.wfd = rfd, wfd
        self.on_frame, self.on_close = on_frame, on_close
        self.name = name
        self.windows = windows
        self.state = 'booting'
        self.sent = self.received = 0
        self._heard_at = loop.clock()
        self._now = []
        self._out = Outbox(windows)
        self._decoder = FrameDecoder()
        # Flow (with windows), or None -> bytes of its bulk that came from this link and are not yet passed on.
        self._held = {}
        self._room = {}
        self._all_held, self._limit = 0, MAX_HELD if windows else WINDOW_SIZE
        self._kept = self._full = False
        self._waiting = []
        self._paused = 0
        for fd in (rfd, wfd):
            set_nonblocking(fd)
            set_cloexec(fd)
        self._watch()

    def _watch(self):
        on_read = None if self._paused else self._readable
        on_write = self._writable if self._now else None
        if self.rfd == self.wfd:
            self.loop.watch(self.rfd, on_read, on_write)
        else:
            self.loop.watch(self.rfd, on_read)
            self.loop.watch(self.wfd, None, on_write)

    def describe(self):
        """For people."""
        return {u'heard': self.loop.clock() - self._heard_at, u'sent': self.sent, u'received': self.received,
                u'queued': self._out.queued, u'held': self._all_held, u'paused': self._paused > 0,
                u'flows': self._out.describe()}

    def event(self, event):
        """Note an event of the table LINK."""
        self.state = step(LINK, self.state, event)

    # sending

    def send(self, *frames):
        """Queue frames, and write what can be written at once."""
        if self.state != 'closed':
            for frame in frames:
                self._out.put(frame)
            self._writable()
            if self._out.queued > MAX_HELD or self._out.control > MAX_CONTROL:
                self.close('it does not read what it is sent')

    def send_raw(self, data):
        """Send what is no frame, before all frames."""
        self._now.append(data)

    def send_after(self, context, frame, source=None):
        """Send a frame, which may have come from the link `source`, behind all that comes from `context`."""
        if self.state != 'closed':
            self._out.put_after(context, frame)
            self._writable()
            self._hold(source)

    def pass_on(self, frame, source):
        """Send a frame on behalf of one from the link `source`, which gets its room back when this one is out."""
        if self.state == 'closed':
            return
        self._out.put(frame, source.keep() if bulk(frame) else None)
        self._writable()
        self._hold(source)

    def _hold(self, source):
        """Let whoever feeds this link not be read while it is full."""
        if self._out.queued > HIGH_WATER and source not in self._waiting and source not in (self, None):
            self._waiting.append(source)
            source.pause()

    def _writable(self):
        if self.state == 'closed':
            return
        try:
            while self._now or self._take():
                data = self._now[0]
                count = os.write(self.wfd, data)
                self.sent += count
                if count < len(data):
                    self._now[0] = memoryview(data)[count:]
                else:
                    del self._now[0]
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EINTR):
                self.close('write: %s' % os.strerror(e.errno))
                return
        if self._waiting and self._out.queued < HIGH_WATER:
            waiting, self._waiting = self._waiting, []
            for other in waiting:
                other.resume()
        if self.state != 'closed':
            self._watch()

    def _take(self):
        self._now = self._out.take()
        return self._now

    # receiving

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
        if self._quiet > 1 and not self._now:
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
                self._on_frame(frame)
        except ProtocolError as e:
            self.close('protocol error: %s' % e)
        except Exception as e:
            # What a peer sends may surprise us; it must not end more than its own link.
            self.close('unusable message: %s: %.200r' % (type(e).__name__, e))

    def _on_frame(self, frame):
        if frame.handle == WINDOW:
            self._out.acked((frame.src, frame.dst, frame.reply_to), SIZE.unpack(frame.payload)[0])
            self._writable()
        elif frame.handle != HEARTBEAT:
            size, key = bulk(frame), self._key(frame)
            if size:
                held = self._held[key] = self._held.get(key, 0) + size
                self._all_held += size
                if self.windows and held > max(size, WINDOW_SIZE):
                    raise ProtocolError('%d bytes of %r, more than its window' % (held, frame))
                if self._all_held > self._limit:
                    self._fill(True)
            self._kept, self._current = False, frame
            self.on_frame(self, frame)
            if size and not self._kept:
                self._passed(frame)

    def keep(self):
        """Let the frame that is being handled count as not yet passed on until the returned function is called."""
        frame, self._kept = self._current, True
        return lambda: self._passed(frame)

    def _key(self, frame):
        return flow_of(frame) if self.windows else None

    def _passed(self, frame):
        """A bulk frame that came from here takes no room any more."""
        if not self._room:
            self.loop.soon(self._make_room)
        key = self._key(frame)
        self._room[key] = self._room.get(key, 0) + bulk(frame)

    def _make_room(self):
        room, self._room = self._room, {}
        for key, size in room.items():
            self._held[key] -= size
            self._all_held -= size
            if not self._held[key]:
                del self._held[key]
            if self.windows:
                self.send(Frame(key[1], key[0], WINDOW, key[2], SIZE.pack(size)))
        if self._all_held <= self._limit // 2:
            self._fill(False)

    def _fill(self, full):
        """Read no more, or read again."""
        if full != self._full:
            self._full = full
            (self.pause if full else self.resume)()

    def close(self, reason):
        """End the link.  What was queued and can't be written at once is dropped."""
        if self.state == 'closed':
            return
        self.state = 'closed'
        self.loop.watch(self.rfd)
        self.loop.watch(self.wfd)
        close(*set((self.rfd, self.wfd)))
        self._now = []
        self._out.clear()
        for other in self._waiting:
            other.resume()
        self._waiting = []
        self.on_close(self, reason)
