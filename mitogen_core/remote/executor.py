"""The executor's side of a runner (runner.py): the process that runs modules and functions."""

import errno
import os
import signal
import sys

from ..wire.constants import CALL_FUNCTION, CALL_SERVICE, FORWARD_LOG, LOAD_MODULE, PUBLISH, READ_SIZE
from ..wire.errors import ProtocolError
from ..wire.frames import FrameDecoder
from ..wire.payloads import Assembler, frames
from ..wire.py23 import to_text
from . import execute, live

STDLIB = os.path.dirname(os.__file__) + '/'


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


def executor_main(finder, req, done, out, err, like):
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
    snapshot = None
    while True:
        data = os.read(req, READ_SIZE)
        if not data:
            os._exit(0)
        for handle, head, bulk in inbox.feed(data):
            if handle == LOAD_MODULE:
                finder.store.add(head[u'digest'], bulk)
            else:
                snapshot = serve(finder, handle, head, bulk, done, me, snapshot)


def is_stdlib(module):
    path = getattr(module, '__file__', None) or ''
    return path.startswith(STDLIB) and '-packages/' not in path


def rehearse(finder, like):
    """Touch what a call of the closure `like` will touch: the memory shared with the supervisor is copied now, page by
    page, and not while somebody waits."""
    finder.use(finder.store.files(like))
    # pylint: disable=unidiomatic-typecheck
    for module in list(sys.modules.values()):
        # By their types alone: a lazy object, such as six has, would import something when it is asked.
        for value in list(getattr(module, '__dict__', {}).values()):
            for inner in list(value.__dict__.values()) if type(value) is type else (value,):
                if type(inner) is type(rehearse):
                    inner.__code__


def serve(finder, handle, call, bulk, done, me, snapshot):
    """Run one call and say so; returns only after an inline call that left nothing behind, with the snapshot that
    proved it."""
    if finder.use(finder.store.files(call[u'closure'])):
        snapshot = None
    inline = call.get(u'isolation') == 'inline'
    head = {}
    known = set(sys.modules)
    # Whoever ends the call ends this group.  No session's leader, it can make a new group for the next call.
    os.setpgid(0, 0)
    if inline:
        from .isolation import Snapshot
        if snapshot:
            snapshot.cover()
        else:
            snapshot = Snapshot(finder)
    if handle == CALL_FUNCTION:
        def action():
            try:
                head[u'value'] = execute.call_function(call)
            except Exception:
                head[u'error'] = execute.describe_error()
        from .channel import open_way
        from .logs import install_handler
        open_way(lambda *message: send(done, *message))
        install_handler(lambda record: send(done, FORWARD_LOG, record))
    else:
        live.begin(call.get(u'live') and (lambda stream, data: send(done, PUBLISH, {u'live': stream}, data)))

        def action():
            execute.run_module(finder, call, bulk)
    code = head[u'rc'] = execute.concluded(action)[0]
    if os.getpid() != me:
        os._exit(code if execute.run_exit_functions() else 120)
    ends = not inline or snapshot.more_exits()
    if not (execute.run_exit_functions if ends else execute.flush)():
        code = head[u'rc'] = 120
    head[u'imports'] = [to_text(name) for name in sorted(set(sys.modules) - known) if is_stdlib(sys.modules.get(name))]
    if inline and snapshot.settled() and not ends:
        # What is left to do is nobody's business but ours: the caller need not wait for it.
        conclude(done, head)
        head = {}
    left = snapshot.restore() if inline else []
    if ends:
        left.append('end')
    head[u'left'] = [to_text(word) for word in left]
    if not conclude(done, head) or left:
        os._exit(code)
    return snapshot


def conclude(done, head):
    """Tell the supervisor about the call; False where it can't be told any more."""
    try:
        send(done, CALL_SERVICE, head)
    except OSError:
        return False  # the module has closed all descriptors
    except ProtocolError as e:
        head.pop(u'value', None)
        head[u'error'] = u'ProtocolError', to_text('%s' % e)
        head[u'rc'] = 1
        send(done, CALL_SERVICE, head)
    return True
