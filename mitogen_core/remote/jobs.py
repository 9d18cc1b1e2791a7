"""The service `jobs`: calls whose processes leave this context and live on (detached.py), and how they stand."""

import errno
import fcntl
import os

from ..wire.constants import CALL_FUNCTION, CALL_SERVICE
from ..wire.payloads import unpack
from ..wire.py23 import to_native

# Of async_wrapper, where no other is named.
FOLDER = '~/.ansible_async'


class Jobs(object):
    """The service `jobs`."""

    def __init__(self, broker):
        self.broker = broker

    def do_run(self, call, args, bulk):
        """modules.run with args['job']: id (the process adds its pid), seconds, words (no, yes), cmd, remove."""
        self._start(call, CALL_SERVICE, args, bulk)

    def do_call(self, call, args, bulk):
        """CALL_FUNCTION with args['job']: id, seconds, folder.  The answer's value is the path of the job's file."""
        self._start(call, CALL_FUNCTION, args, bulk)

    def _start(self, call, handle, args, bulk):
        self.broker.with_service('modules', call, lambda call, modules: modules.run(call, handle, args, bulk))

    def do_status(self, call, args, bulk):
        """The outcome of a function by its file args['path'], which is removed with args['forget'].  Kinds 'running',
        'died', 'timeout', and that of what the function raised."""
        path = to_native(args[u'path'])
        alive = is_locked(path)
        # Only now: a job writes its outcome before it ends.
        with open(path, 'rb') as job:
            head = unpack(job.read())[0]
        over = u'value' in head or u'error' in head
        if alive and not over:
            return call.fail('running', 'the job is still running (pid %d)' % head[u'pid'])
        if args.get(u'forget'):
            os.unlink(path)
        if u'value' in head:
            call.reply(head[u'value'])
        else:
            call.fail(*head.get(u'error', (u'died', u'the process of the job was killed')))


def is_locked(path):
    with open(path, 'rb') as job:
        try:
            fcntl.flock(job, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (OSError, IOError) as e:
            if e.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return True
    return False


SERVICE = Jobs
