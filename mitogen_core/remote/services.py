"""What a broker can be asked for by name (CALL_SERVICE): modules, processes, files, contexts.

A service method is do_NAME(call, args, bulk): it answers `call`, now or later.
"""

import errno
import os
import pwd
import socket
import sys

from ..wire.constants import CALL_SERVICE, CHUNK
from ..wire.hello import hello
from ..wire.py23 import fs_text, to_native
from .children import Command
from .contexts import Child


class Modules(object):
    """Runs Ansible modules in runners."""

    def __init__(self, broker):
        self.broker = broker

    def do_run(self, call, args, bulk):
        """args: see execute; the bulk is the module's parameters.  The answer has rc, and out: how much of its bulk is
        stdout; the rest is stderr."""
        self.broker.run(call, CALL_SERVICE, args, bulk)


class Processes(object):
    """Runs commands."""

    def __init__(self, broker):
        self.broker = broker
        self.running = []

    def do_exec(self, call, args, bulk):
        """args: argv, or shell (a line for the account's login shell); tty, cwd.  The bulk is the command's stdin."""
        argv = args.get(u'argv')
        if not argv:
            argv = [login_shell(), '-c', args[u'shell']]

        def on_exit(code, out, err):
            self.running.remove(command)
            call.reply({u'rc': code if code >= 0 else 128 - code, u'out': len(out)}, out + err)

        command = Command(self.broker.loop, self.broker.reaper, argv, on_exit, bulk, bool(args.get(u'tty')),
                          args.get(u'cwd'))
        self.running.append(command)
        call.event('start')
        call.on_cancel = command.kill


class Files(object):
    """Moves bytes.  Each request names its offset: nothing is open between requests."""

    def __init__(self, broker):
        self.broker = broker

    def do_write(self, call, args, bulk):
        """args: path, offset, mode (of a file that is not there yet).  Offset 0 truncates."""
        flags = os.O_WRONLY | os.O_CREAT | (0 if args[u'offset'] else os.O_TRUNC)
        fd = os.open(to_native(args[u'path']), flags, args.get(u'mode', 0o666))
        try:
            os.lseek(fd, args[u'offset'], os.SEEK_SET)
            view = memoryview(bulk)
            while len(view):
                view = view[os.write(fd, view):]
        finally:
            os.close(fd)
        call.reply()

    def do_read(self, call, args, bulk):
        """args: path, offset, size.  The answer's bulk is shorter than asked for only at the end of the file."""
        fd = os.open(to_native(args[u'path']), os.O_RDONLY)
        try:
            os.lseek(fd, args[u'offset'], os.SEEK_SET)
            parts, left = [], min(args[u'size'], CHUNK)
            while left:
                data = os.read(fd, left)
                if not data:
                    break
                parts.append(data)
                left -= len(data)
        finally:
            os.close(fd)
        call.reply(None, b''.join(parts))

    def do_expanduser(self, call, args, bulk):
        call.reply(fs_text(os.path.expanduser(to_native(args[u'path']))))


class Contexts(object):
    """Starts and ends child contexts."""

    def __init__(self, broker):
        self.broker = broker

    def describe(self):
        """This context's hello."""
        try:
            user = pwd.getpwuid(os.getuid())
            name, home = user.pw_name, user.pw_dir
        except KeyError:
            name, home = '', os.environ.get('HOME', '/')
        return hello(self.broker.id, os.getpid(), python=list(sys.version_info[:3]),
                     executable=fs_text(sys.executable or ''), user=fs_text(name), uid=os.getuid(), home=fs_text(home),
                     host=fs_text(socket.gethostname()))

    def do_spawn(self, call, args, bulk):
        """Start context args['id'] by args['argv'], a command whose Python reads its first stage.  Answers with the
        child's hello.  While the command does not yet run our code, what it prints comes as progress
        ({'stream': 1 or 2}, bytes), and `input` sends it a password.  A command that ends first fails the call with
        kind 'exit'; rc is in the progress before."""
        self.broker.children[args[u'id']] = Child(self.broker, call, args)

    def do_input(self, call, args, bulk):
        child = self.broker.children.get(args[u'id'])
        if child:
            child.write(bulk)
        call.reply()

    def do_end(self, call, args, bulk):
        child = self.broker.children.get(args[u'id'])
        if child:
            child.abort('ended on request')
        call.reply()

    def do_same_interpreter(self, call, args, bulk):
        """Is args['path'] the interpreter that runs here, virtual environment and all?"""
        call.reply(same_interpreter(to_native(args[u'path'])))


def login_shell():
    try:
        return pwd.getpwuid(os.getuid()).pw_shell or '/bin/sh'
    except KeyError:
        return '/bin/sh'


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


SERVICES = {'modules': Modules, 'processes': Processes, 'files': Files, 'contexts': Contexts}
