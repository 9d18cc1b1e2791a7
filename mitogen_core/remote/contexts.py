"""The service `contexts`, and child contexts: commands whose Python becomes a broker of another account or interpreter.

Most brokers have none: this file is not among those that each is born with (bootstrap.LATE).
"""

import errno
import os
import sys

from ..wire.constants import HELLO, READ_SIZE, SHUTDOWN
from ..wire.errors import ProtocolError
from ..wire.frames import Frame
from ..wire.hello import check_child, hello
from ..wire.payloads import pack
from ..wire.py23 import to_native, to_text
from .children import exit_code, kill_group, open_tty, set_raw, spawn
from .link import Link
from .loop import close, pipe, read, set_nonblocking

# What the first stage prints, before its version and a newline.  It must not stand in the command line itself, which
# shells and terminals may echo.
MARK = b'MITO' + b'SIS:'
# Output of a login or an escalation before the first stage runs: banners, lectures.
MAX_NOISE = 1 << 16


def find_mark(noise):
    """(noise before the mark, version text, bytes after it), or None while it is not complete."""
    at = noise.find(MARK)
    end = noise.find(b'\n', at)
    if at < 0 or end < 0:
        return None
    return noise[:at], noise[at + len(MARK):end].decode('ascii', 'replace').strip(), noise[end + 1:]


def refusal(version):
    """Why a first stage of this Python (text like '2.6') can't go on, or None."""
    try:
        found = tuple(int(part) for part in version.split('.'))
    except ValueError:
        return 'its Python gives no version: %r' % version[:40]
    if found < (2, 7) or (3,) <= found < (3, 6):
        return 'its Python is %s; 2.7 or at least 3.6 is needed' % version[:40]
    return None


class Child(object):
    """Before its hello: a process with a conversation on its stdout and stderr.  After: a link."""

    def __init__(self, broker, call, args):
        self.broker, self.loop = broker, broker.loop
        self.call, self.id = call, args[u'id']
        self.alive = args.get(u'alive') or broker.boot[u'alive']
        self.link = None
        self.noise = b''
        self.reason = self.when_gone = None
        tty = bool(args.get(u'tty'))
        (self.err, err) = pipe()
        if tty:
            self.wfd, slave = open_tty()
            set_raw(slave)
            self.rfd, ends = self.wfd, (slave, slave, err)
        else:
            (self.rfd, out), (into, self.wfd) = pipe(), pipe()
            ends = (into, out, err)
        try:
            self.pid = self.start(args, ends, tty)
        finally:
            close(*set(ends))
        for fd in (self.rfd, self.err):
            set_nonblocking(fd)
        self.loop.watch(self.rfd, self._on_out)
        self.loop.watch(self.err, self._on_err)
        self.timer = self.loop.later(args[u'timeout'], lambda: self.abort('timeout'))
        broker.reaper.watch(self.pid, self._on_exit)
        call.event('start')
        call.on_cancel = lambda: self.abort('nobody waits for it any more')

    def start(self, args, ends, tty):
        """Start the process; returns its pid."""
        argv, index, environ, cwd = list(args[u'argv']), args.get(u'password_fd'), self.environ(args), args.get(u'cwd')
        if index is None:
            return spawn(argv, *ends, environ=environ, cwd=cwd, tty=tty)
        rfd, wfd = pipe()
        try:
            os.write(wfd, args[u'password'] + b'\n')
            argv[index] = '-d%d' % rfd
            return spawn(argv, *ends, environ=environ, cwd=cwd, tty=tty, keep=(rfd,))
        finally:
            close(rfd, wfd)

    def environ(self, args):
        """Its environment: this process's, and args['env']."""
        environ = dict(os.environ)
        environ.update((to_native(name), to_native(value)) for name, value in (args.get(u'env') or {}).items())
        return environ

    @property
    def fds(self):
        return set(fd for fd in (self.rfd, self.wfd, self.err) if fd is not None)

    def write(self, data):
        """Answer a prompt."""
        if self.link is None and self.wfd is not None:
            os.write(self.wfd, data)

    def _on_out(self):
        data = read(self.rfd, READ_SIZE)
        if data == b'':
            self.loop.watch(self.rfd)
        elif data:
            self.noise += data
            found = find_mark(self.noise)
            if found:
                self._boot(*found)
            elif len(self.noise) > MAX_NOISE:
                self.abort('it printed %d bytes and never became ready' % len(self.noise))
            else:
                self.call.progress({u'stream': 1}, data)

    def _on_err(self):
        data = read(self.err, READ_SIZE)
        if data == b'':
            self.loop.watch(self.err)
        elif data:
            self.heard(data)

    def heard(self, data):
        """Something on stderr."""
        if self.link is None and self.call:
            self.call.progress({u'stream': 2}, data)

    def _boot(self, noise, version, rest):
        reason = refusal(version)
        if reason:
            return self.abort(reason)
        self.loop.watch(self.rfd)
        rfd, wfd, self.rfd, self.wfd = self.rfd, self.wfd, None, None
        broker = self.broker
        self.link = Link(self.loop, rfd, wfd, broker.on_frame, broker.on_close, self.id, True)
        boot = broker.boot[u'code']
        self.link.send_raw(b'\0' + ('%08d' % len(boot)).encode('ascii') + boot)
        self.link.send(Frame(self.id, broker.id, HELLO, 0,
                             pack(hello(broker.id, os.getpid(), child=self.id, alive=list(self.alive),
                                        late=broker.boot[u'late']))))
        self.link.feed(rest)

    def on_hello(self, head):
        head = check_child(head)
        if head[u'id'] != self.id:
            raise ProtocolError('context %d says that it is %d' % (self.id, head[u'id']))
        self.loop.cancel(self.timer)
        self.link.keep_alive(self.alive[0], self.alive[1], self.broker.on_silence)
        self.broker.add_route(self.id, self.id)
        self.call.reply(head)
        self.call = None

    def _on_exit(self, status):
        self.pid = None
        if self.when_gone:
            self.when_gone()
        if self.link is None and self.rfd is not None:
            self._on_out()
            if self.link is None and self.rfd is not None:
                self._on_err()
                self.call.progress({u'rc': exit_code(status)})
                self._end(u'exit', 'exit code %d' % exit_code(status))

    def on_end(self, reason):
        """The link is closed."""
        if self.pid:
            pid = self.pid
            # It sees the end of its stdin; what is deaf to that is killed.
            self.loop.later(2, lambda: self.pid and kill_group(pid))
        self._close()
        if self.call:
            call, self.call = self.call, None
            call.fail(u'boot', to_text(self.reason or reason))

    def end(self, when_ended=None):
        """Ask it to end, and close the link; when_ended() is called when the process is gone."""
        if self.pid:
            self.when_gone = when_ended
        elif when_ended:
            when_ended()
        if self.link:
            self.link.send(Frame(self.id, self.broker.id, SHUTDOWN, 0, pack(None)))
            self.link.close('shutdown')
        else:
            self.abort('shutdown')

    def abort(self, reason):
        """Give up: kill it."""
        self.reason = reason
        if self.pid:
            kill_group(self.pid)
        if self.link:
            self.link.close(reason)
        else:
            self._end(u'timeout' if reason == 'timeout' else u'boot', reason)

    def _close(self):
        for fd in self.fds:
            self.loop.watch(fd)
        close(*self.fds)
        self.rfd = self.wfd = self.err = None

    def _end(self, kind, reason):
        self.loop.cancel(self.timer)
        self.broker.children.pop(self.id, None)
        self._close()
        if self.call:
            call, self.call = self.call, None
            call.fail(kind, reason)


class Contexts(object):
    """Starts and ends child contexts."""

    def __init__(self, broker):
        self.broker = broker

    def do_spawn(self, call, args, bulk):
        """Start context args['id'] by args['argv'], a command whose Python reads its first stage.  Answers with the
        child's hello.  args['env'] is added to the environment.  With args['password_fd'], the index of an argument
        '-d', that gets the number of a descriptor from which args['password'] (bytes) can be read, as sshpass takes
        it.  While the command does not yet run our code, what it prints comes as progress ({'stream': 1 or 2}, bytes),
        and `input` sends it a password.  A command that ends first fails the call with kind 'exit'; rc is in the
        progress before."""
        self.broker.children[args[u'id']] = Child(self.broker, call, args)

    def do_input(self, call, args, bulk):
        child = self.broker.children.get(args[u'id'])
        if child:
            child.write(bulk)
        call.reply()

    def do_end(self, call, args, bulk):
        child = self.broker.children.get(args[u'id'])
        if child and args.get(u'wait') and child.link:
            return child.end(call.reply)
        if child:
            child.abort('ended on request')
        call.reply()

    def do_same_interpreter(self, call, args, bulk):
        """Is args['path'] the interpreter that runs here, virtual environment and all?"""
        call.reply(same_interpreter(to_native(args[u'path'])))


def same_interpreter(path):
    """Would the command `path` start the Python that runs this?"""
    if ' ' in path or not sys.executable:
        return False
    if '/' not in path:
        for folder in os.environ.get('PATH', '/usr/bin:/bin').split(':'):
            if os.access(os.path.join(folder, path), os.X_OK):
                path = os.path.join(folder, path)
                break
    try:
        os.stat(path)
    except OSError as e:
        return e.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
    both = [(os.path.realpath(os.path.dirname(p)), os.path.realpath(p)) for p in (path, sys.executable)]
    return both[0] == both[1]


SERVICE = Contexts
