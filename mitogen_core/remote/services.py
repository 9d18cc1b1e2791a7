"""What every broker can be asked for by name (CALL_SERVICE) from its birth: processes, files.

A service method is do_NAME(call, args, bulk): it answers `call`, now or later.
"""

import os
import pwd
import stat

from ..wire.constants import CHUNK
from ..wire.py23 import fs_text, to_native
from .children import Command


class Processes(object):
    """Runs commands."""

    def __init__(self, broker):
        self.broker = broker
        self.running = []
        self.made = set()

    def do_exec(self, call, args, bulk):
        """args: argv, or shell (a line for the account's login shell); tty, cwd; live: tell what it prints, as progress
        {'live': 1 for stdout or 2}; makes: a folder that is to be removed with this broker, if it is not by then;
        removes: such a folder, and the command is not killed if nobody waits.  The bulk is the command's stdin."""
        argv = args.get(u'argv')
        if not argv:
            argv = [login_shell(), '-c', args[u'shell']]

        def on_exit(code, out, err):
            self.running.remove(command)
            self.made.discard(args.get(u'removes'))
            call.reply({u'rc': code if code >= 0 else 128 - code, u'out': len(out)}, out + err)

        command = Command(self.broker.loop, self.broker.reaper, argv, on_exit, bulk, bool(args.get(u'tty')),
                          args.get(u'cwd'), on_data=args.get(u'live') and (
                              lambda stream, data: call.progress({u'live': stream}, data)))
        self.running.append(command)
        if args.get(u'makes'):
            self.made.add(args[u'makes'])
        call.event('start')
        if not args.get(u'removes'):
            call.on_cancel = command.kill

    def shutdown(self):
        """Have what is left of folders removed: by a process that outlives this one."""
        paths = [to_native(path) for path in self.made]
        try:
            if paths:
                os.spawnvp(os.P_NOWAIT, 'rm', ['rm', '-rf', '--'] + paths)
        except OSError:  # no more processes
            from shutil import rmtree
            for path in paths:
                rmtree(path, True)


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
        """args: path, offset, size, regular (is any other file to be left alone?).  The answer is the file's mode; its
        bulk is shorter than asked for only at its end."""
        path = to_native(args[u'path'])
        if args.get(u'regular') and not stat.S_ISREG(os.stat(path).st_mode):
            return call.fail('os', 'no regular file')
        fd = os.open(path, os.O_RDONLY)
        try:
            mode = os.fstat(fd).st_mode & 0o777
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
        call.reply(mode, b''.join(parts))

    def do_chmod(self, call, args, bulk):
        """args: paths, bits that their modes get."""
        for path in args[u'paths']:
            path = to_native(path)
            os.chmod(path, os.stat(path).st_mode & 0o7777 | args[u'bits'])
        call.reply()

    def do_expanduser(self, call, args, bulk):
        call.reply(fs_text(os.path.expanduser(to_native(args[u'path']))))


def login_shell():
    try:
        return pwd.getpwuid(os.getuid()).pw_shell or '/bin/sh'
    except KeyError:
        return '/bin/sh'


SERVICES = {'processes': Processes, 'files': Files}
