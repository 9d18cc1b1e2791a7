"""A runner: a process of one account that runs calls, one at a time.

    broker ==socketpair== supervisor ==pipes== executor

The supervisor never runs foreign code.  It forks executors from its warm image (the imports that every Ansible module
makes are done), hands them the call, and collects what they print, so that a module may print any amount, crash, be
stuck or leave daemons behind without anyone waiting for it in vain.  A fresh executor stands ready before a call
arrives.  `fork` isolation takes the fresh one and ends it after the call.  `inline` keeps one for the next inline
call, as long as it proves clean (isolation.py).
"""

import errno
import os
import select
import signal
import socket
import sys

from ..wire.constants import (CALL_FUNCTION, CALL_SERVICE, CANCEL, FORWARD_LOG, LOAD_MODULE, READ_SIZE, SHUTDOWN)
from ..wire.errors import ProtocolError
from ..wire.frames import FrameDecoder
from ..wire.payloads import Assembler, frames, unpack
from ..wire.py23 import to_text
from . import execute
from .children import exit_code, kill_group
from .importer import Store
from .loop import close, pipe, read, set_nonblocking

WARM = 'ansible.module_utils.basic'
WARM_LOADER = 'ansible.module_utils._internal._ansiballz._loader'


def write_all(fd, data):
    view = memoryview(data)
    while len(view):
        try:
            view = view[os.write(fd, view):]
        except OSError as e:
            if e.errno != errno.EINTR:
                raise


def send(fd, handle, head, bulk=b''):
    write_all(fd, b''.join(frame.encode() for frame in frames(0, 0, handle, 0, head, bulk)))


class Executor(object):
    """The supervisor's end of an executor process."""

    def __init__(self, store, inherited):
        req_r, self.req = pipe()
        self.done, done_w = pipe()
        self.out, out_w = pipe()
        self.err, err_w = pipe()
        self.fds = (self.req, self.done, self.out, self.err)
        self.decoder, self.assembler = FrameDecoder(), Assembler()
        self.used = False
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            try:
                close(*(self.fds + tuple(inherited)))
                executor_main(store, req_r, done_w, out_w, err_w)
            finally:
                os._exit(1)
        close(req_r, done_w, out_w, err_w)
        for fd in (self.done, self.out, self.err):
            set_nonblocking(fd)

    def forward(self, data):
        """Send raw frames; an executor that died is found by `pump`."""
        try:
            write_all(self.req, data)
        except OSError:
            pass

    def finish(self, kill=False):
        """End it; returns the exit code."""
        if kill:
            kill_group(self.pid)
        close(*self.fds)
        try:
            return exit_code(os.waitpid(self.pid, 0)[1])
        except OSError:
            return -1


def executor_main(store, req, done, out, err):
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(fd, target)
        if fd > 2:
            os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    decoder = FrameDecoder()
    me = os.getpid()
    while True:
        data = os.read(req, READ_SIZE)
        if not data:
            os._exit(0)
        for frame in decoder.feed(data):
            if frame.handle == LOAD_MODULE:
                load(store, frame)
            else:
                serve(store, frame, done, me)


def load(store, frame):
    head, blob = unpack(frame.payload)
    store.add(head[u'digest'], blob)


def serve(store, frame, done, me):
    """Run one call and say so; stays only after an inline call that left nothing behind."""
    call = unpack(frame.payload)[0]
    files = store.files(call[u'closure'])
    inline = call.get(u'isolation') == 'inline'
    snapshot = None
    head = {}
    if inline:
        from .isolation import Snapshot
        execute.install(store, files, '/')
        snapshot = Snapshot()
    if frame.handle == CALL_FUNCTION:
        def action():
            try:
                head[u'value'] = execute.call_function(store, call, files)
            except Exception:
                head[u'error'] = execute.describe_error()
        from .logs import install_handler
        install_handler(lambda record: send(done, FORWARD_LOG, record))
    else:
        def action():
            execute.run_module(store, call, files)
    head[u'rc'] = execute.concluded(action)[0]
    if os.getpid() != me:
        execute.run_exit_functions()
        os._exit(head[u'rc'])
    execute.flush() if inline else execute.run_exit_functions()
    left = snapshot.restore() if inline else [u'fork']
    head[u'left'] = [to_text(word) for word in left]
    try:
        send(done, CALL_SERVICE, head)
    except ProtocolError as e:
        send(done, CALL_SERVICE, {u'rc': 1, u'left': left, u'error': (u'ProtocolError', to_text('%s' % e))})
    if left:
        os._exit(head[u'rc'])


class Supervisor(object):
    """The process that the broker forked; `control` is its socket to the broker."""

    def __init__(self, control):
        self.control = control
        self.store = Store()
        self.decoder = FrameDecoder()
        self.fresh = self.kept = None
        self.warm = False

    def main(self):
        while True:
            frames_ = self._read()
            if frames_ is None:
                self._end()
            for frame in frames_:
                if frame.handle == LOAD_MODULE:
                    load(self.store, frame)
                    for executor in (self.fresh, self.kept):
                        if executor:
                            executor.forward(frame.encode())
                elif frame.handle in (CALL_SERVICE, CALL_FUNCTION):
                    self._call(frame)
                elif frame.handle == SHUTDOWN:
                    self._end()

    def _read(self):
        """Frames from the broker; None at the end."""
        data = read(self.control, READ_SIZE)
        return self.decoder.feed(data) if data else ([] if data is None else None)

    def _end(self, kill=False):
        for executor in (self.fresh, self.kept):
            if executor:
                close(*executor.fds)
        os._exit(0)

    def _fork(self):
        others = [fd for e in (self.fresh, self.kept) if e for fd in e.fds]
        return Executor(self.store, others + [self.control])

    def _call(self, frame):
        call = unpack(frame.payload)[0]
        inline = call.get(u'isolation') == 'inline'
        if inline and self.kept:
            executor, self.kept = self.kept, None
        else:
            executor, self.fresh = self.fresh or self._fork(), None
        send(self.control, CALL_SERVICE, {u'pid': executor.pid})
        executor.forward(frame.encode())
        head, out, err = self.pump(executor)
        if head and not head[u'left']:
            self.kept = executor
        else:
            code = executor.finish(kill=head is None)
            head = head or {u'rc': code, u'left': [u'died']}
        head[u'out'] = len(out)
        send(self.control, frame.handle, head, out + err)
        self._prepare(call)

    def pump(self, executor):
        """(head or None for a dead executor, stdout, stderr) of the running call."""
        chunks = {executor.out: [], executor.err: []}
        poller = select.poll()
        for fd in (executor.out, executor.err, executor.done, self.control):
            poller.register(fd, select.POLLIN)
        head, gone = None, False
        while head is None and not gone:
            try:
                events = poller.poll(500)
            except select.error as e:
                if e.args[0] != errno.EINTR:
                    raise
                continue
            for fd, _ in events:
                if fd in chunks:
                    data = read(fd, READ_SIZE)
                    if data:
                        chunks[fd].append(data)
                    elif data is not None:
                        poller.unregister(fd)
                elif fd == executor.done:
                    head, gone = self._done(executor)
                elif not self._control_while_busy(executor):
                    return None, b'', b''
            gone = gone or (not events and os.waitpid(executor.pid, os.WNOHANG)[0] != 0)
        for fd in chunks:
            data = read(fd, READ_SIZE)
            while data:
                chunks[fd].append(data)
                data = read(fd, READ_SIZE)
        return head, b''.join(chunks[executor.out]), b''.join(chunks[executor.err])

    def _done(self, executor):
        data = read(executor.done, READ_SIZE)
        if data is None:
            return None, False
        for frame in executor.decoder.feed(data):
            if frame.handle == FORWARD_LOG:
                write_all(self.control, frame.encode())
                continue
            message = executor.assembler.feed(frame)
            if message:
                return message[0], False
        return None, not data

    def _control_while_busy(self, executor):
        """Read the broker's word while a call runs.  False: the call is to end."""
        frames_ = self._read()
        if frames_ is None:
            kill_group(executor.pid)
            self._end()
        for frame in frames_:
            if frame.handle == LOAD_MODULE:
                load(self.store, frame)
            elif frame.handle == CANCEL:
                return False
        return True

    def _prepare(self, call):
        """Between calls: import what the next one will import too, and have an executor ready."""
        if not self.warm and call.get(u'layout'):
            self.warm = True
            try:
                execute.install(self.store, self.store.files(call[u'closure']), '/')
                __import__(WARM)
                if call[u'layout'] == 2:
                    __import__(WARM_LOADER)
                import runpy  # noqa: F401
                import tempfile  # noqa: F401
            except Exception:
                pass
            gc = __import__('gc')
            gc.collect()
            if hasattr(gc, 'freeze'):
                gc.freeze()
            if self.fresh:
                self.fresh.finish()
                self.fresh = None
        if call.get(u'layout'):
            path = call[u'fqn'].replace('.', '/') + '.py'
            digest = self.store.files(call[u'closure']).get(path)
            if digest and digest not in self.store.codes:
                try:
                    self.store.code(digest, '/' + path)
                except Exception:
                    return
                if self.fresh:
                    self.fresh.finish()
                    self.fresh = None
        if not self.fresh:
            self.fresh = self._fork()


def start(loop, forget):
    """Fork a runner; (pid, the broker's socket).  forget() drops, in the child, what the broker has open."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        fd = os.dup(ours.fileno())
        ours.close()
        return pid, fd
    try:
        fd = os.dup(theirs.fileno())
        theirs.close()
        ours.close()
        forget()
        os.setsid()
        Supervisor(fd).main()
    except BaseException:
        execute.traceback.print_exc()
    finally:
        os._exit(1)
