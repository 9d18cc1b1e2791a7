"""A runner: a process of one account that runs calls, one at a time.

    broker ==socketpair== supervisor ==pipes== executor

The supervisor never runs foreign code.  It forks executors from its warm image (the imports that every Ansible module
makes are done), hands them the call, and collects what they print, so that a module may print any amount, crash, be
stuck or leave daemons behind without anyone waiting for it in vain.  A fresh executor stands ready before a call
arrives.  `fork` isolation takes the fresh one and ends it after the call.  `inline` keeps one for the next inline
call, as long as it proves clean (isolation.py).
"""

import errno
import gc
import os
import select
import signal
import socket
import sys

from ..wire.constants import CALL_FUNCTION, CALL_SERVICE, CANCEL, FORWARD_LOG, LOAD_MODULE, READ_SIZE, SHUTDOWN
from ..wire.errors import ProtocolError
from ..wire.frames import FrameDecoder
from ..wire.payloads import Assembler, frames
from ..wire.py23 import to_text
from . import execute
from .children import exit_code, kill_group
from .importer import Finder, Store
from .loop import close, pipe, read, set_nonblocking

STDLIB = os.path.dirname(os.__file__) + '/'
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


class Inbox(object):
    """Turns bytes from a process of this account into messages: (handle, head, bulk)."""

    def __init__(self):
        self._decoder, self._assembler = FrameDecoder(), Assembler()

    def feed(self, data):
        found = []
        for frame in self._decoder.feed(data):
            message = self._assembler.feed(frame)
            if message:
                found.append((frame.handle,) + message)
        return found


class Executor(object):
    """The supervisor's end of an executor process."""

    def __init__(self, finder, inherited, like=None):
        req_r, self.req = pipe()
        self.done, done_w = pipe()
        self.out, out_w = pipe()
        self.err, err_w = pipe()
        self.fds = (self.req, self.done, self.out, self.err)
        self.inbox = Inbox()
        sys.stdout.flush()
        sys.stderr.flush()
        self.code = None
        self.pid = os.fork()
        if not self.pid:
            try:
                close(*(self.fds + tuple(inherited)))
                executor_main(finder, req_r, done_w, out_w, err_w, like)
            except BaseException:
                execute.traceback.print_exc()
            finally:
                os._exit(1)
        close(req_r, done_w, out_w, err_w)
        for fd in (self.done, self.out, self.err):
            set_nonblocking(fd)

    def send(self, *message):
        """Send (handle, head, bulk); an executor that died is found by `pump`."""
        try:
            send(self.req, *message)
        except OSError:
            pass

    def ended(self):
        """Has it ended, by itself or by a signal?"""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = exit_code(status)
        return self.code is not None

    def finish(self, kill=False):
        """End it; returns the exit code.  What it left running, if it has ended by itself, is nobody's to kill."""
        if kill and not self.ended():
            kill_group(self.pid)
        close(*self.fds)
        if self.code is None:
            self.code = exit_code(os.waitpid(self.pid, 0)[1])
        return self.code


def executor_main(finder, req, done, out, err, like):
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(fd, target)
        if fd > 2:
            os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # A Python before 3.7 does not do that by itself after a fork.
    execute.random.seed()
    inbox = Inbox()
    me = os.getpid()
    if like:
        rehearse(finder, like)
    while True:
        data = os.read(req, READ_SIZE)
        if not data:
            os._exit(0)
        for handle, head, bulk in inbox.feed(data):
            if handle == LOAD_MODULE:
                finder.store.add(head[u'digest'], bulk)
            else:
                serve(finder, handle, head, bulk, done, me)


def is_stdlib(module):
    path = getattr(module, '__file__', None) or ''
    return path.startswith(STDLIB) and '-packages/' not in path


def rehearse(finder, like):
    """Touch what a call of the closure `like` will touch: the memory shared with the supervisor is copied now, page by
    page, and not while somebody waits."""
    finder.use(finder.store.files(like))
    for module in list(sys.modules.values()):
        # By their types alone: a lazy object, such as six has, would import something when it is asked.
        for value in list(getattr(module, '__dict__', {}).values()):
            for inner in list(value.__dict__.values()) if type(value) is type else (value,):
                if type(inner) is type(rehearse):
                    inner.__code__


def serve(finder, handle, call, bulk, done, me):
    """Run one call and say so; stays only after an inline call that left nothing behind."""
    finder.use(finder.store.files(call[u'closure']))
    inline = call.get(u'isolation') == 'inline'
    head = {}
    known = set(sys.modules)
    if inline:
        from .isolation import Snapshot
        snapshot = Snapshot(finder)
    if handle == CALL_FUNCTION:
        def action():
            try:
                head[u'value'] = execute.call_function(call)
            except Exception:
                head[u'error'] = execute.describe_error()
        from .logs import install_handler
        install_handler(lambda record: send(done, FORWARD_LOG, record))
    else:
        def action():
            execute.run_module(finder, call, bulk)
    head[u'rc'] = execute.concluded(action)[0]
    if os.getpid() != me:
        execute.run_exit_functions()
        os._exit(head[u'rc'])
    ends = not inline or snapshot.more_exits()
    execute.run_exit_functions() if ends else execute.flush()
    left = snapshot.restore() if inline else []
    if ends:
        left.append(u'end')
    head[u'left'] = [to_text(word) for word in left]
    head[u'imports'] = [to_text(name) for name in sorted(set(sys.modules) - known) if is_stdlib(sys.modules.get(name))]
    try:
        send(done, CALL_SERVICE, head)
    except OSError:
        # The module has closed all descriptors.
        os._exit(head[u'rc'])
    except ProtocolError as e:
        send(done, CALL_SERVICE, {u'rc': 1, u'left': left, u'error': (u'ProtocolError', to_text('%s' % e))})
    if left:
        os._exit(head[u'rc'])


class Supervisor(object):
    """The process that the broker forked; `control` is its socket to the broker."""

    def __init__(self, control):
        self.control = control
        self.store = Store()
        self.finder = Finder(self.store, execute.new_root())
        self.inbox = Inbox()
        self.fresh = self.kept = None
        self.warm = False

    def main(self):
        while True:
            messages = self._read()
            if messages is None:
                self._end()
            for handle, head, bulk in messages:
                if handle == LOAD_MODULE:
                    self.store.add(head[u'digest'], bulk)
                    for executor in (self.fresh, self.kept):
                        if executor:
                            executor.send(handle, head, bulk)
                elif handle in (CALL_SERVICE, CALL_FUNCTION):
                    self._call(handle, head, bulk)
                elif handle == SHUTDOWN:
                    self._end()

    def _read(self):
        """Messages from the broker; None at the end."""
        data = read(self.control, READ_SIZE)
        return self.inbox.feed(data) if data else ([] if data is None else None)

    def _end(self, kill=False):
        for executor in (self.fresh, self.kept):
            if executor:
                close(*executor.fds)
        os._exit(0)

    def _fork(self, like=None):
        others = [fd for e in (self.fresh, self.kept) if e for fd in e.fds]
        return Executor(self.finder, others + [self.control], like)

    def _call(self, handle, call, bulk):
        inline = call.get(u'isolation') == 'inline'
        if not self.warm:
            self._warm_up(call)
        if inline and self.kept:
            executor, self.kept = self.kept, None
        else:
            executor, self.fresh = self.fresh or self._fork(), None
        send(self.control, CALL_SERVICE, {u'pid': executor.pid})
        executor.send(handle, call, bulk)
        head, out, err = self.pump(executor)
        if head is None:
            code = executor.finish(kill=True)
            head = {u'rc': code if code >= 0 else 128 - code, u'left': [u'died']}
        imports = head.pop(u'imports', ())
        head[u'out'] = len(out)
        send(self.control, handle, head, out + err)
        # What follows is off the caller's path.
        if head[u'left']:
            executor.finish()
        else:
            self.kept = executor
        self._prepare(call, imports)

    def pump(self, executor):
        """(head or None for a dead executor, stdout, stderr) of the running call."""
        chunks = {executor.out: [], executor.err: []}
        poller = select.poll()
        for fd in (executor.out, executor.err, executor.done, self.control):
            poller.register(fd, select.POLLIN)
        head, pause = None, 500
        while head is None:
            try:
                events = poller.poll(pause)
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
                    head, end = self._done(executor)
                    if end:
                        # It ends, or has closed all descriptors and goes on.
                        poller.unregister(fd)
                        pause = 10
                elif not self._control_while_busy(executor):
                    return None, b'', b''
            if head is None and executor.ended():
                head = self._done(executor)[0]
                break
        for fd in chunks:
            # What is there now; a daemon that goes on writing is not waited for.
            for _ in range(64):
                data = read(fd, READ_SIZE)
                if not data:
                    break
                chunks[fd].append(data)
        return head, b''.join(chunks[executor.out]), b''.join(chunks[executor.err])

    def _done(self, executor):
        """(head of the conclusion or None, did the executor end without one)."""
        data = read(executor.done, READ_SIZE)
        for handle, head, bulk in executor.inbox.feed(data or b''):
            if handle != FORWARD_LOG:
                return head, False
            send(self.control, handle, head)
        return None, data == b''

    def _control_while_busy(self, executor):
        """Read the broker's word while a call runs.  False: the call is to end."""
        messages = self._read()
        if messages is None:
            kill_group(executor.pid)
            self._end()
        return CANCEL not in [handle for handle, head, bulk in messages]

    def _warm_up(self, call):
        """Import what every module imports, once, so that all executors have it from their birth."""
        self.warm = True
        if not call.get(u'layout'):
            return
        self.finder.use(self.store.files(call[u'closure']))
        for name in (WARM, WARM_LOADER, 'runpy')[::2 if call[u'layout'] == 1 else 1]:
            try:
                __import__(name)
            except Exception:
                pass
        gc.collect()
        if hasattr(gc, 'freeze'):
            gc.freeze()

    def _prepare(self, call, imports):
        """Between calls: compile what was run and import what it imported of the standard library, for the next time,
        and have an executor ready."""
        for name in imports[:50]:
            try:
                __import__(name)
            except Exception:
                pass
        path = call.get(u'fqn', u'').replace('.', '/') + '.py'
        digest = self.store.files(call[u'closure']).get(path)
        if digest and digest not in self.store.codes:
            try:
                self.store.code(digest, self.finder.root + '/' + path)
            except Exception:
                pass
        if not self.fresh:
            self.fresh = self._fork(call[u'closure'])


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
