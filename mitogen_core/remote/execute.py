"""What an executor does with one call: run an Ansible module, or a function, from forwarded code."""

import os
import random
import shutil
import sys
import traceback

from ..wire.py23 import PY2, fs_text, to_native
from .importer import Finder, forget

RESPAWN = 'ansible/module_utils/common/respawn.py'
NO_EXIT = '{"msg": "New-style module did not handle its own exit", "failed": true}'


def install(store, files, root):
    """Make a closure importable, and nothing of any other; returns its finder."""
    forget(files)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
    finder = Finder(store, files, root)
    for module in list(sys.modules.values()):
        # What stays from the closure before looks as if it had been imported from this one.
        old = getattr(module, '__loader__', None)
        if isinstance(old, Finder):
            _adopt(module, old, finder)
    sys.meta_path.insert(0, finder)
    return finder


def _adopt(module, old, finder):
    module.__loader__ = finder
    spec = getattr(module, '__spec__', None)
    if spec is not None:
        spec.loader = finder
    for name in ('__file__', '__cached__'):
        value = getattr(module, name, None)
        if value and value.startswith(old.root):
            setattr(module, name, finder.root + value[len(old.root):])
    if hasattr(module, '__path__'):
        module.__path__ = [to_native(finder.root + '/' + module.__name__.replace('.', '/'))]
        if spec is not None:
            spec.submodule_search_locations = module.__path__


def prepare(call):
    """Give this process the working folder, environment and limits that the call asks for."""
    if call.get(u'cwd'):
        os.chdir(to_native(call[u'cwd']))
    try:
        os.getcwd()
    except OSError:
        try:
            os.chdir(os.path.expanduser('~'))
        except OSError:
            os.chdir('/')
    for name, value in (call.get(u'env') or {}).items():
        os.environ[to_native(name)] = to_native(value)
    if call.get(u'rlimit_nofile'):
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(hard, call[u'rlimit_nofile'])
        if wanted != soft:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            except ValueError:
                pass
    if call.get(u'interpreter', '').startswith('/'):
        sys.executable = to_native(call[u'interpreter'])
    sys.argv[:] = ['']


def write_zip(root, finder, date_time):
    """The zip file that AnsiballZ would have made, for modules that start other interpreters on it."""
    import zipfile
    os.mkdir(os.path.dirname(root), 0o700)
    files = [(path, finder.store.source(digest)) for path, digest in finder.files.items()]
    files.append(('sitecustomize.py', ('import sys\nsys.path.insert(0, "%s")\n' % root).encode('utf-8')))
    with zipfile.ZipFile(root, 'w', zipfile.ZIP_DEFLATED) as archive:
        for path, source in files:
            info = zipfile.ZipInfo(to_native(path), tuple(date_time))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, source)


def run_module(store, call, files):
    """Run an Ansible module as AnsiballZ would; it ends with SystemExit."""
    name = 'ansible_%s_payload' % to_native(call[u'name'])
    folder = '/tmp/%s_%08x' % (name, random.SystemRandom().getrandbits(32))
    root = '%s/%s.zip' % (folder, name)
    finder = install(store, files, root)
    prepare(call)
    on_disk = RESPAWN in files
    try:
        if on_disk:
            write_zip(root, finder, call[u'date_time'])
        sys.path.insert(0, root)
        params = call[u'params'].encode('utf-8')
        fqn = to_native(call[u'fqn'])
        if call[u'layout'] == 2:
            from ansible.module_utils._internal._ansiballz import _loader
            _loader.run_module(json_params=params, profile=call[u'profile'], module_fqn=fqn, modlib_path=root,
                               extensions={})
        else:
            import runpy
            from ansible.module_utils import basic
            basic._ANSIBLE_ARGS = params
            runpy.run_module(mod_name=fqn, init_globals=dict(_module_fqn=fqn, _modlib_path=root),
                             run_name='__main__', alter_sys=True)
            print(NO_EXIT)
            sys.exit(1)
    finally:
        if on_disk:
            shutil.rmtree(folder, ignore_errors=True)


def call_function(store, call, files):
    """Import a function from the closure and call it; returns its value."""
    install(store, files, '/mitosis')
    prepare(call)
    module, _, name = to_native(call[u'function']).partition(':')
    __import__(module)
    kwargs = dict((to_native(key), value) for key, value in (call.get(u'kwargs') or {}).items())
    return getattr(sys.modules[module], name)(*(call.get(u'args') or ()), **kwargs)


def concluded(action):
    """Run action() as the interpreter would run a script: (exit code, value), with SystemExit and tracebacks handled,
    exit functions called and output flushed."""
    code, value = 0, None
    try:
        value = action()
    except SystemExit as e:
        if e.code is None or isinstance(e.code, int):
            code = e.code or 0
        else:
            sys.stderr.write('%s\n' % (e.code,))
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    return code & 0xff, value


def run_exit_functions():
    """What the interpreter does at its end: wait for threads, call what atexit knows, flush."""
    threading = sys.modules.get('threading')
    if threading:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    atexit = sys.modules.get('atexit')
    if atexit:
        concluded(atexit._run_exitfuncs)
    flush()


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (IOError, OSError, ValueError):
            pass


def describe_error():
    """(type name, traceback) of the exception being handled, as text."""
    kind = sys.exc_info()[0]
    return fs_text(kind.__name__), fs_text(traceback.format_exc())


__all__ = ['PY2', 'call_function', 'concluded', 'describe_error', 'flush', 'install', 'run_exit_functions', 'run_module']
