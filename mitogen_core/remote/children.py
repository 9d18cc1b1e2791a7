"""Child processes: start them with clean descriptors, collect what they print, learn of their end."""

import errno
import fcntl
import os
import signal
import struct
import termios
import time

from ..wire.constants import READ_SIZE
from ..wire.py23 import monotonic, to_native
from .loop import close, pipe, read, set_cloexec, set_nonblocking

DEFAULT_SIGNALS = [getattr(signal, name) for name in ('SIGPIPE', 'SIGXFZ', 'SIGXFSZ', 'SIGCHLD', 'SIGINT', 'SIGQUIT',
                                                      'SIGTERM', 'SIGHUP') if hasattr(signal, name)]


class Reaper(object):
    """Tells who asked of a child's end.  One per process, in its main thread."""

    def __init__(self, loop):
        self.loop = loop
        self._watched = {}
        self._rfd, self._wfd = pipe()
        for fd in (self._rfd, self._wfd):
            set_nonblocking(fd)
        signal.set_wakeup_fd(self._wfd)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        loop.watch(self._rfd, self._woken)

    def watch(self, pid, on_exit):
        """Call on_exit(status of waitpid) once."""
        self._watched[pid] = on_exit
        self.loop.soon(self._collect)

    def _woken(self):
        while read(self._rfd, 512):
            pass
        self._collect()

    def _collect(self):
        for pid in list(self._watched):
            try:
                done, status = os.waitpid(pid, os.WNOHANG)
            except OSError as e:
                if e.errno != errno.ECHILD:
                    continue
                done, status = pid, 0
            if done:
                self._watched.pop(pid)(status)

    def forget(self):
        """In a forked child."""
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(signum, signal.SIG_DFL)
        close(self._rfd, self._wfd)
        self._watched = {}


def wait_for(pids, seconds):
    """Wait until these children are gone, but not longer."""
    end = monotonic() + seconds
    for pid in pids:
        try:
            while not os.waitpid(pid, os.WNOHANG)[0] and monotonic() < end:
                time.sleep(0.002)
        except OSError:
            pass


def exit_code(status):
    """Exit code of a waitpid status; a signal's number is negative, as in the subprocess module."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def kill_group(pid, signum=signal.SIGKILL):
    """Signal the process group led by `pid`, or at least `pid`."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signum)
            return
        except OSError:
            pass


def open_tty():
    """(master, slave) of a new terminal that passes bytes on as they are, except for the newline, as sshd's does."""
    master, slave = os.openpty()
    set_cloexec(master)
    set_cloexec(slave)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack(str('HHHH'), 24, 80, 0, 0))
    return master, slave


def set_raw(fd):
    """Make a terminal a plain pipe: no echo, no line editing, no translation, no size limit of a line."""
    mode = termios.tcgetattr(fd)
    mode[0] = mode[1] = mode[3] = 0
    mode[6][termios.VMIN] = 1
    termios.tcsetattr(fd, termios.TCSANOW, mode)


def enter(cwd):
    """Go there, where that is wished; one that this account may not enter is where it was begun, if anywhere."""
    try:
        if cwd:
            os.chdir(to_native(cwd))
    except OSError as e:
        if e.errno != errno.EACCES:
            raise


def spawn(argv, stdin, stdout, stderr, environ=None, cwd=None, tty=False, keep=()):
    """Start argv in a session of its own with these three descriptors; returns the pid.

    What can't be started exits with 127 and says why on stderr.  `keep` names descriptors that stay open.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        if tty:
            fcntl.ioctl(stdin, termios.TIOCSCTTY, 0)
        # Away from 0, 1 and 2 first: one of the three may be another's target.
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (stdin, stdout, stderr)]
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
            os.close(fd)
            fcntl.fcntl(target, fcntl.F_SETFD, 0)
        for fd in keep:
            fcntl.fcntl(fd, fcntl.F_SETFD, 0)
        signal.set_wakeup_fd(-1)
        for signum in DEFAULT_SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        enter(cwd)
        env = dict(os.environ if environ is None else environ)
        argv = [to_native(arg) for arg in argv]
        os.execvpe(argv[0], argv, env)
    except Exception as e:
        os.write(2, ('%s: %s\n' % (argv[0], getattr(e, 'strerror', None) or e)).encode('utf-8', 'replace'))
    finally:
        os._exit(127)


class Command(object):
    """A command that runs to its end: stdin given at once, output collected.

    on_exit(exit code, stdout, stderr) is called when it has ended and all it wrote has been read; before that, for each
    piece, on_data(1 for stdout or 2, bytes).
    """

    def __init__(self, loop, reaper, argv, on_exit, stdin=b'', tty=False, cwd=None, environ=None, on_data=None):
        self.loop, self.on_exit, self.on_data = loop, on_exit, on_data
        self._chunks = {}
        self._stdin = memoryview(stdin)
        # A terminal whose last user closes it hangs up, and some close it before they end: it is held until then.
        self._held = set()
        if tty:
            master, slave = open_tty()
            fds, self._in = (slave, slave, slave), None
            readers = [master]
            self._held.add(slave)
        else:
            (out_r, out_w), (err_r, err_w) = pipe(), pipe()
            in_r, self._in = pipe()
            fds = (in_r, out_w, err_w)
            readers = [out_r, err_r]
        spare = set(fds) | set(readers) | set(fd for fd in [self._in] if fd is not None)
        try:
            self.pid = spawn(argv, *fds, environ=environ, cwd=cwd, tty=tty)
            spare = set(fds) - self._held
        finally:
            close(*spare)
        self._readers = list(readers)
        for fd in readers:
            set_nonblocking(fd)
            self._chunks[fd] = []
            loop.watch(fd, lambda fd=fd: self._readable(fd))
        self._open = set(readers)
        if self._in is not None:
            set_nonblocking(self._in)
            self._feed()
        reaper.watch(self.pid, self._exited)

    def _feed(self):
        try:
            while len(self._stdin):
                self._stdin = self._stdin[os.write(self._in, self._stdin[:READ_SIZE]):]
        except OSError as e:
            if e.errno in (errno.EAGAIN, errno.EINTR):
                self.loop.watch(self._in, None, self._feed)
                return
        self._close_stdin()

    def _close_stdin(self):
        if self._in is not None:
            self.loop.watch(self._in)
            close(self._in)
            self._in = None

    def _readable(self, fd):
        data = read(fd, READ_SIZE)
        if data:
            self._chunks[fd].append(data)
            if self.on_data:
                self.on_data(1 + self._readers.index(fd), data)
        elif data is not None:
            self._shut(fd)
        return data

    def _shut(self, fd):
        if fd in self._open:
            self._open.discard(fd)
            self.loop.watch(fd)
            close(fd)

    def _exited(self, status):
        close(*self._held)
        self._held = set()
        for fd in list(self._open):
            # What is there now; a child in the background that goes on writing is not waited for.
            for _turn in range(64):
                if fd not in self._open or not self._readable(fd):
                    break
            self._shut(fd)
        self._close_stdin()
        output = [b''.join(self._chunks[fd]) for fd in self._readers] + [b'']
        self.on_exit(exit_code(status), output[0], output[1])

    def fds(self):
        return self._open | self._held | set(fd for fd in [self._in] if fd is not None)

    def kill(self):
        kill_group(self.pid)
