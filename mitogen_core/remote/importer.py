"""Import from forwarded code: a closure maps file paths to digests, and store.py knows what these stand for."""

import sys
import types

from ..wire.py23 import PY2, to_native
from .live import tap

BASIC = 'ansible.module_utils.basic'


def ours(basic):
    """Give run_command (2.16-2.21) selectors of ours.  It asks twice whether its command has ended; one that ends
    between the two would cost a second, the time-out of a selector that has nothing to wait for.  And what its command
    prints is read through taps (live.py): of its stdout, which it registers first, and of its stderr."""
    selectors = getattr(basic, 'selectors', None)
    mine = types.ModuleType('selectors')
    mine.__dict__.update(getattr(selectors, '__dict__', {}))
    for name in ('PollSelector', 'SelectSelector'):
        base = getattr(selectors, name, None)
        if isinstance(base, type):
            def select(self, timeout=None, base=base):
                return base.select(self, timeout) if self.get_map() else []

            def register(self, pipe, events, data=None, base=base):
                return base.register(self, tap(pipe, 1 + len(self.get_map())), events, data)
            setattr(mine, name, type(name, (base,), {'select': select, 'register': register}))
            basic.selectors = mine


class Finder(object):
    """Finder and loader of sys.meta_path, one for each process, for one closure after the other.

    `files` maps paths such as 'ansible/module_utils/basic.py' to digests; `root` is the path that the files seem to
    lie under (AnsiballZ's zip file).
    """

    def __init__(self, store, root):
        self.store, self.root = store, root
        self.files, self.packages = {}, set()
        sys.meta_path.insert(0, self)
        if PY2:
            # Where runpy and pkgutil look for what is in a package.
            sys.path_hooks.insert(0, self.hook)

    def use(self, files):
        """Make a closure importable, and nothing of any other: what was imported from one before stays only if it is
        in this one, in the very same form.  Tells whether anything had to go."""
        mine = dict((name, self.locate(name)[0]) for name, module in list(sys.modules.items()) if self.owns(module))
        stale = [name for name, path in mine.items() if path and files.get(path) != self.files[path]]
        # Another file under a known name: whoever imported the old one must go too.
        drop(mine if any(mine[name] in files for name in stale) else stale)
        self.files, self.packages = files, set()
        for path in files:
            while '/' in path:
                path = path.rpartition('/')[0]
                self.packages.add(path)
        return bool(stale)

    def owns(self, module):
        """Did this finder load `module`?"""
        return getattr(module, '__loader__', None) is self

    def locate(self, name):
        """(path or None, is it a package) for a module; None where it is not in the closure."""
        base = name.replace('.', '/')
        for path, package in ((base + '/__init__.py', True), (base + '.py', False)):
            if path in self.files:
                return path, package
        return (None, True) if base in self.packages else None

    # Python 3

    def find_spec(self, name, path=None, target=None):
        found = self.locate(name)
        if not found:
            return None
        from importlib.machinery import ModuleSpec
        spec = ModuleSpec(name, self, origin=self.get_filename(name), is_package=found[1])
        if found[1]:
            spec.submodule_search_locations = [self.root + '/' + name.replace('.', '/')]
        spec.has_location = True
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self.get_code(module.__name__), module.__dict__)  # nosec  # code comes from above alone
        if module.__name__ == BASIC:
            ours(module)

    # Python 2

    def hook(self, path):
        if not path.startswith(self.root):
            raise ImportError(path)
        return self

    def find_module(self, name, path=None):
        return self if PY2 and self.locate(name) else None

    def load_module(self, name):
        if name in sys.modules:
            return sys.modules[name]
        module = sys.modules[name] = types.ModuleType(to_native(name))
        module.__loader__, module.__file__ = self, to_native(self.get_filename(name))
        module.__package__ = name if self.is_package(name) else name.rpartition('.')[0]
        if self.is_package(name):
            module.__path__ = [to_native(self.root + '/' + name.replace('.', '/'))]
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return sys.modules[name]

    # both: PEP 302's optional part, which runpy, inspect, linecache and pkgutil use

    def _path(self, name):
        found = self.locate(name)
        if not found:
            raise ImportError('no module named %s in this closure' % name)
        return found

    def is_package(self, name):
        return self._path(name)[1]

    def get_filename(self, name):
        path = self._path(name)[0] or name.replace('.', '/') + '/__init__.py'
        return self.root + '/' + path

    def get_code(self, name):
        path = self._path(name)[0]
        if path is None:
            return compile('', to_native(self.get_filename(name)), 'exec')
        return self.store.code(self.files[path], self.get_filename(name))

    def get_source(self, name):
        path = self._path(name)[0]
        source = self.store.source(self.files[path]) if path else b''
        return source if PY2 else source.decode('utf-8', 'replace')

    def get_data(self, path):
        name = path[len(self.root) + 1:] if path.startswith(self.root + '/') else path
        if name not in self.files:
            raise IOError(2, 'No such file in this closure', path)
        return self.store.source(self.files[name])


def drop(names):
    """Remove modules from sys.modules and from their packages."""
    for name in list(names):
        sys.modules.pop(name, None)
        parent, _dot, leaf = name.rpartition('.')
        if parent in sys.modules and hasattr(sys.modules[parent], leaf):
            delattr(sys.modules[parent], leaf)
