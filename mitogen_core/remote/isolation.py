"""Proof that a module which ran inside a persistent interpreter left nothing behind.

A Snapshot is taken before the run.  After it, settled() tells whether there is nothing left that others could see, and
restore() puts back what can be put back and returns the list of what can't: threads, children, another account, ...
An interpreter with anything in that list is replaced.
"""

import atexit
import errno
import gc
import os
import signal
import sys
import time

from .execute import flush
from .importer import drop

CONTAINERS = (list, dict, set)
SYS = ('stdin', 'stdout', 'stderr', 'path', 'meta_path', 'argv', 'excepthook', 'displayhook')
LIMITS = ('RLIMIT_NOFILE', 'RLIMIT_CORE', 'RLIMIT_CPU', 'RLIMIT_FSIZE', 'RLIMIT_DATA', 'RLIMIT_STACK', 'RLIMIT_AS')


def open_fds():
    """{descriptor: what it is}"""
    for folder in ('/proc/self/fd', '/dev/fd'):
        try:
            found = set(int(name) for name in os.listdir(folder))
        except (OSError, ValueError):
            continue
        break
    else:
        found = range(256)
    return dict((fd, identity) for fd, identity in ((fd, _identity(fd)) for fd in found) if identity)


def _identity(fd):
    try:
        stat = os.fstat(fd)
        return stat.st_dev, stat.st_ino, stat.st_rdev
    except OSError:
        return None


def _handlers():
    found = {}
    for signum in range(1, signal.NSIG):
        try:
            found[signum] = signal.getsignal(signum)
        except (ValueError, OSError):
            pass
    return found


def _limits():
    import resource
    names = [getattr(resource, name) for name in LIMITS if hasattr(resource, name)]
    return dict((name, resource.getrlimit(name)) for name in names)


def _ids():
    return os.getuid(), os.geteuid(), os.getgid(), os.getegid(), tuple(os.getgroups())


def _umask():
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


def _atexit_count():
    counter = getattr(atexit, '_ncallbacks', None)
    return len(getattr(atexit, '_exithandlers', ())) if counter is None else counter()


def _blocked():
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()) if hasattr(signal, 'pthread_sigmask') else None


def _threads():
    threading = sys.modules.get('threading')
    return len(threading.enumerate()) if threading else 1


def _locale():
    import locale
    return locale.setlocale(locale.LC_ALL)


def _has_children():
    try:
        os.waitpid(-1, os.WNOHANG)
    except OSError as e:
        return e.errno != errno.ECHILD
    return True


def _group_lives():
    """Leaves this process's group, and tells whether anyone else is in it."""
    os.setpgid(0, os.getsid(0))
    try:
        os.killpg(os.getpid(), 0)
    except OSError as e:
        return e.errno != errno.ESRCH
    return True


def _namespaces(finder, known):
    """The namespaces of forwarded modules whose ids are not `known`, and of their classes."""
    for name, module in list(sys.modules.items()):
        if id(module) not in known and finder.owns(module):
            yield module, vars(module)
            for value in list(vars(module).values()):
                if isinstance(value, type) and getattr(value, '__module__', None) == name:
                    yield value, dict(vars(value))


def _refill(value, content):
    if isinstance(value, list):
        value[:] = content
    else:
        value.clear()
        value.update(content)


class Snapshot(object):
    """What an interpreter looks like now."""

    def __init__(self, finder):
        self.finder = finder
        self.cwd = os.getcwd()
        self.umask = _umask()
        self.environ = dict(os.environ)
        self.ids = _ids()
        self.handlers = _handlers()
        self.limits = _limits()
        self.locale = _locale()
        self.fds = open_fds()
        self.atexit = _atexit_count()
        self.nice, self.blocked, self.recursion = os.nice(0), _blocked(), sys.getrecursionlimit()
        self.sys = [(name, getattr(sys, name)) for name in SYS]
        self.path, self.meta_path, self.argv = sys.path[:], sys.meta_path[:], sys.argv[:]
        self.modules = set(sys.modules)
        warnings = sys.modules.get('warnings')
        self.filters = warnings.filters[:] if warnings else None
        self.globals = {}
        self.cover()

    def cover(self):
        """Take in what was imported since.  A restored interpreter is what it was, and needs no other new look."""
        self.modules.update(sys.modules)
        for owner, names in _namespaces(self.finder, self.globals):
            contents = [(v, v.copy() if not isinstance(v, list) else v[:]) for v in names.values()
                        if isinstance(v, CONTAINERS)]
            self.globals[id(owner)] = owner, dict(names), contents

    def more_exits(self):
        """Has the run registered functions that are to be called, or threads to be waited for, at the end?"""
        return _atexit_count() > self.atexit or _threads() > 1

    def settled(self):
        """Is there nothing left that anyone but this process could see?"""
        self.left = [word for word, there in (('threads', _threads() > 1), ('children', _has_children()),
                                              ('processes', _group_lives())) if there]
        try:
            os.chdir(self.cwd)
        except OSError:
            self.left.append('cwd')
        return not self.left and not self._more_fds()

    def restore(self):
        """After settled(): what is left of the run and can't be removed: a list of words, empty for a clean
        interpreter."""
        left = self.left
        for word, clean in (('ids', _ids() == self.ids), ('locale', self._restore_locale()),
                            ('nice', os.nice(0) == self.nice)):
            if not clean:
                left.append(word)
        os.umask(self.umask)
        if dict(os.environ) != self.environ:
            os.environ.clear()
            os.environ.update(self.environ)
            time.tzset()
        self._restore_signals(left)
        self._restore_limits(left)
        self._restore_python()
        # What is only in cycles may have files open, or something to say at its end.
        gc.collect()
        if self._more_fds():
            left.append('descriptors')
        return left

    def _more_fds(self):
        # What is not closed with its owner may have one that we can't see: closing it would put another file in its
        # place.  The C library has one for its log.
        if 'syslog' in sys.modules:
            sys.modules['syslog'].closelog()
        return open_fds() != self.fds

    def _restore_locale(self):
        module = sys.modules.get('locale')
        try:
            if module and self.locale and module.setlocale(module.LC_ALL) != self.locale:
                module.setlocale(module.LC_ALL, self.locale)
            return True
        except module.Error:
            return False

    def _restore_signals(self, left):
        if hasattr(signal, 'setitimer'):
            signal.setitimer(signal.ITIMER_REAL, 0)
        if self.blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)
        for signum, handler in _handlers().items():
            if handler is not self.handlers.get(signum):
                try:
                    signal.signal(signum, self.handlers[signum])
                except (TypeError, ValueError, OSError):
                    left.append('signal %d' % signum)

    def _restore_limits(self, left):
        import resource
        for name, limit in _limits().items():
            if limit != self.limits[name]:
                try:
                    resource.setrlimit(name, self.limits[name])
                except (ValueError, OSError):
                    left.append('rlimit')

    def _restore_python(self):
        for name, value in self.sys:
            if getattr(sys, name, None) is not value:
                setattr(sys, name, value)
        flush()
        sys.setrecursionlimit(self.recursion)
        sys.path[:], sys.meta_path[:], sys.argv[:] = self.path, self.meta_path, self.argv
        if self.filters is not None:
            sys.modules['warnings'].filters[:] = self.filters
        drop(name for name, module in list(sys.modules.items())
             if name not in self.modules and self.finder.owns(module))
        for owner, names, contents in self.globals.values():
            for name in set(vars(owner)) - set(names):
                delattr(owner, name)
            for name, value in names.items():
                if vars(owner).get(name) is not value and name not in ('__dict__', '__weakref__'):
                    setattr(owner, name, value)
            for value, content in contents:
                if value != content:
                    _refill(value, content)
