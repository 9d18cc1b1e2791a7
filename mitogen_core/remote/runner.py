"""A runner: a process of one account that runs calls, one at a time.

    broker ==socketpair== supervisor ==pipes== executor

The supervisor never runs foreign code.  It forks executors from its warm image (the imports that every Ansible module
makes are done), hands them the call, and collects what they print, so that a module may print any amount, crash, be
stuck or leave daemons behind without anyone waiting for it in vain.  A fresh executor stands ready before a call
arrives, where calls before did not all run inline.  `fork` isolation takes the fresh one and ends it after the call.
`inline` keeps one for the next inline call, as long as it proves clean (isolation.py).
"""

import errno
import gc
import os
import select
import shutil
import socket
import sys

from ..wire.constants import (
    CALL_FUNCTION,
    CALL_SERVICE,
    CANCEL,
    DETACHING,
    FORWARD_LOG,
    LOAD_MODULE,
    PUBLISH,
    READ_SIZE,
    SHUTDOWN,
)
from . import execute
from .children import exit_code, kill_group
from .executor import Inbox, executor_main, send
from .importer import BASIC, Finder
from .loop import close, pipe, read, set_nonblocking
from .store import Store

# An executor that has not tidied up within this time is replaced.
STAY_SECONDS = 2
WARM_LOADER = 'ansible.module_utils._internal._ansiballz._loader'


class Executor(object):
    """The supervisor's end of an executor process."""

    def __init__(self, finder, inherited, like=None):
        req_r, self.req = pipe()
        self.done, done_w = pipe()
        self.out, out_w = pipe()
        self.err, err_w = pipe()
        self.fds = (self.req, self.done, self.out, self.err)
        self.inbox, self.said = Inbox(), []
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


class Supervisor(object):
    """The process that the broker forked; `control` is its socket to the broker."""

    def __init__(self, control):
        self.control = control
        self.store = Store()
        self.finder = Finder(self.store, execute.new_root())
        self.inbox = Inbox()
        self.queue = []
        self.fresh = self.kept = None
        self.warm = False

    def main(self):
        while True:
            while not self.queue:
                self._receive()
            handle, head, bulk = self.queue.pop(0)
            if handle == LOAD_MODULE:
                self.store.add(head[u'digest'], bulk)
                for executor in (self.fresh, self.kept):
                    if executor:
                        executor.send(handle, head, bulk)
            elif handle in (CALL_SERVICE, CALL_FUNCTION):
                self._call(handle, head, bulk)
            elif handle == SHUTDOWN:
                self._end()

    def fds(self):
        """What a process that is forked off is to close."""
        return [self.control] + [fd for e in (self.fresh, self.kept) if e for fd in e.fds]

    def tell(self, *message):
        """Send the broker (handle, head, bulk)."""
        send(self.control, *message)

    def _receive(self, running=None):
        """Take in the broker's word; its end is the end of this process and of the executor that is running a call."""
        data = read(self.control, READ_SIZE)
        if data:
            self.queue += self.inbox.feed(data)
        elif data is not None:
            if running:
                running.finish(kill=True)
            self._end()

    def _cancelled(self):
        """Is the running call to end?"""
        before = len(self.queue)
        self.queue = [message for message in self.queue if message[0] != CANCEL]
        return len(self.queue) < before

    def _end(self):
        for executor in (self.fresh, self.kept):
            if executor:
                executor.finish()
        shutil.rmtree(os.path.dirname(self.finder.root), ignore_errors=True)
        os._exit(0)

    def _fork(self, like=None):
        return Executor(self.finder, self.fds(), like)

    def _call(self, handle, call, bulk):
        inline = call.get(u'isolation') == 'inline'
        if not self.warm:
            self._warm_up(call)
        if call.get(u'job'):
            from .detached import detach
            return self.tell(DETACHING, *detach(self, handle, call, bulk))
        if inline and self.kept:
            executor, self.kept = self.kept, None
        else:
            executor, self.fresh = self.fresh or self._fork(), None
        self.tell(CALL_SERVICE, {u'pid': executor.pid})
        executor.send(handle, call, bulk)
        head, out, err = self.pump(executor)
        if head is None:
            code = executor.finish(kill=True)
            head = {u'rc': code if code >= 0 else 128 - code, u'left': [u'died']}
        imports = head.pop(u'imports', ())
        # The module's zip file: it may not have been able to remove it, or may have been killed.
        shutil.rmtree(os.path.dirname(self.finder.root), ignore_errors=True)
        head[u'out'] = len(out)
        self.tell(handle, head, out + err)
        # What follows is off the caller's path.
        if head.get(u'left') or u'left' not in head and not self._stays(executor):
            executor.finish()
        else:
            self.kept = executor
        # What prints when it is imported, a warning for one, is to be imported anew each time.
        self._prepare(call, () if err or out[:9].strip()[:1] not in b'{' else imports)

    def _stays(self, executor):
        """An executor whose call is over proves that it is clean, or ends."""
        head, end = None, False
        poller = select.poll()
        poller.register(executor.done, select.POLLIN)
        while head is None and not end and (executor.said or poller.poll(STAY_SECONDS * 1000)):
            head, end = self._done(executor)
        clean = head and not head[u'left'] and not any(read(fd, READ_SIZE) for fd in (executor.out, executor.err))
        if not clean:
            kill_group(executor.pid)
        return clean

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
            for fd, _event in events:
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
                else:
                    self._receive(executor)
            if self._cancelled():
                return None, b'', b''
            if head is None and executor.ended():
                head = self._done(executor)[0]
                break
        for fd in chunks:
            # What is there now; a daemon that goes on writing is not waited for.
            for _turn in range(64):
                data = read(fd, READ_SIZE)
                if not data:
                    break
                chunks[fd].append(data)
        return head, b''.join(chunks[executor.out]), b''.join(chunks[executor.err])

    def _done(self, executor):
        """(what it said next of its call or None, did the executor end without that)."""
        data = b'-'
        if not executor.said:
            data = read(executor.done, READ_SIZE)
            executor.said += executor.inbox.feed(data or b'')
        while executor.said:
            handle, head, bulk = executor.said.pop(0)
            if handle not in (FORWARD_LOG, PUBLISH):
                return head, False
            self.tell(handle, head, bulk)
        return None, data == b''

    def _warm_up(self, call):
        """Import what every module imports, once, so that all executors have it from their birth."""
        self.warm = True
        if not call.get(u'layout'):
            return
        self.finder.use(self.store.files(call[u'closure']))
        for name in (BASIC, WARM_LOADER, 'runpy')[::2 if call[u'layout'] == 1 else 1]:
            try:
                __import__(name)
            except Exception:  # the call that needs it will tell
                pass
        gc.collect()
        _trim()
        if hasattr(gc, 'freeze'):
            gc.freeze()

    def _prepare(self, call, imports):
        """Between calls: compile what was run and import what it imported of the standard library, for the next time,
        and have an executor ready."""
        for name in imports[:50]:
            try:
                __import__(name)
            except Exception:  # as above
                pass
        path = call.get(u'fqn', u'').replace('.', '/') + '.py'
        digest = self.store.files(call[u'closure']).get(path)
        if digest and digest not in self.store.codes:
            try:
                self.store.code(digest, self.finder.root + '/' + path)
            except Exception:  # as above
                pass
        # One that is only used inline needs no other.
        if not self.fresh and not (self.kept and call.get(u'isolation') == 'inline'):
            self.fresh = self._fork(call[u'closure'])


def _trim():
    """Give back what compiling took, where ansible-core's own imports brought what that needs."""
    ctypes = sys.modules.get('ctypes')
    if ctypes:
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (AttributeError, OSError):  # not glibc
            pass


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
    except BaseException as e:
        # The broker may have gone in the middle of an answer.
        if getattr(e, 'errno', None) != errno.EPIPE:
            execute.traceback.print_exc()
    finally:
        os._exit(1)
