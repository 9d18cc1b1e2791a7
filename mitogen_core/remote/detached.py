"""Detached contexts: the process of a call leaves its runner and its broker, and lives on.

The outcome is left in a file, which is replaced whole.  That of a module is what async_wrapper of Ansible leaves, and
async_status reads; that of a function a packed message.  The process holds a lock on the file for its life.
"""

import fcntl
import json
import os
import select
import shutil
import signal

from ..wire.constants import CALL_FUNCTION
from ..wire.payloads import pack
from ..wire.py23 import fs_text, monotonic, to_native, to_text
from . import execute
from .children import kill_group
from .executor import Inbox, send, write_all
from .jobs import FOLDER
from .loop import close, pipe, read
from .runner import Executor, Supervisor

# Until the process is on its own, which takes the writing of a small file.
START_SECONDS = 60


def detach(supervisor, handle, call, bulk):
    """Have a process of its own execute the call.  Returns the answer that the caller is to get: head and bulk."""
    ours, theirs = pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            if not os.fork():
                close(ours)
                Job(supervisor, call).main(theirs, handle, bulk)
        except BaseException:
            execute.traceback.print_exc()
        finally:
            os._exit(0)
    close(theirs)
    os.waitpid(pid, 0)
    try:
        said = Inbox().feed(_all(ours))
    finally:
        close(ours)
    if said:
        return said[0][1:]
    kill_group(pid)
    return {u'error': (u'os', u'the process of a job did not start within %d s' % START_SECONDS)}, b''


def _all(fd):
    """What is written there until its end, in time."""
    data, more, end = b'', b'-', monotonic() + START_SECONDS
    while more and select.select([fd], [], [], max(0, end - monotonic()))[0]:
        more = read(fd, 1 << 16)
        data += more or b''
    return data if not more else b''


class Job(Supervisor):
    """The process that has left: it executes one call and ends.  Of the supervisor it has the code."""

    def __init__(self, supervisor, call):
        close(*supervisor.fds())
        self.store, self.finder = supervisor.store, supervisor.finder
        self.finder.root = execute.new_root()
        self.queue = []
        # Of nobody: nothing is to come.
        self.control, self._never = pipe()
        self.call, self.job = call, call[u'job']
        self.name = '%s.%d' % (to_native(self.job[u'id']), os.getpid())
        env = call.get(u'env') or {}
        folder = env.get(u'ANSIBLE_ASYNC_DIR') or self.job.get(u'folder') or os.environ.get('ANSIBLE_ASYNC_DIR', FOLDER)
        self.path = os.path.join(os.path.expanduser(to_native(folder)), self.name)
        self.end = monotonic() + self.job[u'seconds']
        self.late = False

    def main(self, way, handle, bulk):
        """`way` leads to whoever waits for the answer."""
        os.umask(0o22)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for target in (0, 1, 2):
            os.dup2(null, target)
        close(null)
        form = Function(self) if handle == CALL_FUNCTION else Module(self)
        try:
            if not os.path.isdir(os.path.dirname(self.path)):
                os.makedirs(os.path.dirname(self.path))
            lock = self.write(form.started)
        except (OSError, IOError) as e:
            return send(way, handle, *form.refused(e))
        send(way, handle, *form.accepted())
        close(way)
        executor = Executor(self.finder, (self.control, self._never, lock))
        executor.send(handle, self.call, bulk)
        head, out, err = self.pump(executor)
        code = executor.finish(kill=head is None)
        try:
            self.write(form.late(executor.pid) if self.late else form.outcome(head or {u'rc': code}, out, err))
        finally:
            for path in (self.job.get(u'remove'), os.path.dirname(self.finder.root)):
                shutil.rmtree(to_native(path or ''), ignore_errors=True)

    def _cancelled(self):
        self.late = self.late or monotonic() > self.end
        return self.late

    def tell(self, *message):
        """Nobody is there to hear it."""

    def write(self, data):
        """Replace the file; returns its descriptor, which holds the lock."""
        fd = os.open(self.path + '.tmp', os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except (OSError, IOError):
            # Some network file systems have no locks; of a module's job nobody looks at it.
            if self.call.get(u'function'):
                raise
        try:
            write_all(fd, data)
        finally:
            os.rename(self.path + '.tmp', self.path)
        return fd


class Function(object):
    """What is written and said of a function."""

    def __init__(self, job):
        self.started = pack({u'pid': os.getpid()})
        self.path = fs_text(job.path)

    def accepted(self):
        return {u'value': self.path}, b''

    def refused(self, e):
        return {u'error': (u'os', to_text('%s: %s' % (self.path, e.strerror)))}, b''

    def late(self, pid):
        return pack({u'error': (u'timeout', u'the job took too long')})

    def outcome(self, head, out, err):
        if u'value' in head or u'error' in head:
            return pack(dict((key, head[key]) for key in (u'value', u'error') if key in head))
        return pack({u'error': (u'died', u'the process of the job died: exit code %d' % head[u'rc'])})


class Module(object):
    """What is written and said of an Ansible module, as async_wrapper does; `yes` and `no` as its version has them."""

    def __init__(self, job):
        self.job, self.id = job.job, fs_text(job.name)
        self.path = fs_text(job.path)
        no, yes = self.job[u'words']
        self.state = {u'started': yes, u'finished': no, u'ansible_job_id': self.id}
        self.started = self._json(self.state)
        self.no, self.yes = no, yes

    @staticmethod
    def _json(value):
        return json.dumps(value).encode('ascii')

    def _said(self, value, code):
        data = self._json(value) + b'\n'
        return {u'rc': code, u'out': len(data)}, data

    def accepted(self):
        return self._said(dict(self.state, failed=self.no, results_file=self.path,
                               _ansible_suppress_tmpdir_delete=bool(self.job.get(u'remove'))), 0)

    def refused(self, e):
        return self._said({u'failed': self.yes, u'msg': u'could not create directory: %s - %s' % (
            os.path.dirname(self.path), to_text('%s' % e)), u'exception': fs_text(execute.traceback.format_exc())}, 1)

    def late(self, pid):
        return self._json({u'msg': u'Timeout exceeded', u'failed': True, u'child_pid': pid})

    def outcome(self, head, out, err):
        out, err = fs_text(to_native(out)), fs_text(to_native(err))
        try:
            result, junk = find_json(out)
            if junk:
                warnings = result.get(u'warnings', [])
                result[u'warnings'] = (warnings if isinstance(warnings, list) else [warnings]) + [junk]
            if err:
                result[u'stderr'] = err
            return self._json(result)
        except Exception:
            return self._json({u'failed': self.yes, u'cmd': self.job[u'cmd'], u'data': out, u'stderr': err,
                               u'msg': fs_text(execute.traceback.format_exc()), u'ansible_job_id': self.id})


def find_json(text):
    """(the JSON object in a module's output, a warning about what stands behind it).  Raises ValueError."""
    lines = text.splitlines()
    begins = [n for n, line in enumerate(lines) if line.strip().startswith(u'{')]
    if not begins:
        raise ValueError('No start of json char found')
    ends = [n for n, line in enumerate(lines) if n >= begins[0] and line.strip().endswith(u'}')]
    if not ends:
        raise ValueError('No end of json char found')
    behind = lines[ends[-1] + 1:]
    junk = u'Module invocation had junk after the JSON data: ' + u'\n'.join(behind)
    return (json.loads(u'\n'.join(lines[begins[0]:ends[-1] + 1])),
            junk if any(line.strip() for line in behind) else None)
