"""What an executor does with one call: run an Ansible module, or a function, from forwarded code."""

import atexit
import os
import random
import sys
import traceback

from ..wire.py23 import PY2, fs_text, to_native
from .children import enter

RESPAWN = 'ansible/module_utils/common/respawn.py'
NO_EXIT = '{"msg": "New-style module did not handle its own exit", "failed": true}'


def prepare(call):
    """Give this process the working folder, environment and limits that the call asks for."""
    enter(call.get(u'cwd'))
    try:
        cwd = os.getcwd()
        if call.get(u'cwd'):
            os.environ['PWD'] = cwd
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
    if call.get(u'interpreter', '').startswith('/') and ' ' not in call[u'interpreter']:
        sys.executable = to_native(call[u'interpreter'])
    sys.argv[:] = ['']


def new_root():
    """A path that nobody else has, for a zip file that in most cases is never written."""
    # Nobody can guess it, and write_zip makes the folder or fails.
    number = random.SystemRandom().getrandbits(64)
    return '/tmp/ansible_payload_%016x/ansible_payload.zip' % number  # nosec B108


def write_zip(finder, date_time):
    """The zip file that AnsiballZ would have made, for modules that start other interpreters on it."""
    import zipfile
    root = finder.root
    os.mkdir(os.path.dirname(root), 0o700)
    files = [(path, finder.store.source(digest)) for path, digest in finder.files.items()]
    files.append(('sitecustomize.py', ('import sys\nsys.path.insert(0, "%s")\n' % root).encode('utf-8')))
    with zipfile.ZipFile(root, 'w', zipfile.ZIP_DEFLATED) as archive:
        for path, source in files:
            info = zipfile.ZipInfo(to_native(path), tuple(date_time))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, source)


def run_module(finder, call, params):
    """Run an Ansible module as AnsiballZ would; it ends with SystemExit.  `params` is JSON, as bytes."""
    prepare(call)
    root = finder.root
    if RESPAWN in finder.files:
        write_zip(finder, call[u'date_time'])
    sys.path.insert(0, root)
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


def call_function(call):
    """Import a function from the closure and call it; returns its value."""
    prepare(call)
    module, _colon, name = to_native(call[u'function']).partition(':')
    __import__(module)
    kwargs = dict((to_native(key), value) for key, value in (call.get(u'kwargs') or {}).items())
    return getattr(sys.modules[module], name)(*(call.get(u'args') or ()), **kwargs)


def concluded(action):
    """(exit code, value) of action(), run as a script: SystemExit and tracebacks are handled."""
    code, value = 1, None
    try:
        try:
            code, value = 0, action()
        except SystemExit as e:
            if e.code is None or isinstance(e.code, int):
                code = e.code or 0
            else:
                sys.stderr.write('%s\n' % (e.code,))
        except BaseException as e:
            # From 3.8 on the interpreter ends by the signal, for which shells have this number.
            code = 130 if isinstance(e, KeyboardInterrupt) and sys.version_info > (3, 8) else 1
            sys.excepthook(*sys.exc_info())
    except BaseException:  # of a module's own hook, or for the lack of a stderr
        os.write(2, fs_text(traceback.format_exc()).encode('utf-8', 'replace'))
    return code & 0xff, value


def run_exit_functions():
    """What the interpreter does at its end: flush, wait for threads, call what atexit knows, flush again."""
    flush(None)
    # Wakes the threads of pools too.
    concluded(getattr(sys.modules.get('threading'), '_shutdown', int))
    concluded(atexit._run_exitfuncs)
    return flush()


def flush(good=True):
    """Flush what was printed; False where that is an error to Python 3 at its end, which then exits with 120."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except (ValueError, AttributeError):
            pass
        except (IOError, OSError) as e:
            if good and not PY2 and stream in (sys.stdout, sys.stderr):
                good = False
                text = 'Exception ignored in: %r\n%s: %s\n' % (stream, type(e).__name__, e)
                concluded(lambda text=text: os.write(2, text.encode('utf-8')))
    # Code in C keeps output of its own; basic imports ctypes, and the process's end will not be libc's.
    try:
        sys.modules['ctypes'].CDLL(None).fflush(None)
    except (KeyError, AttributeError, OSError):
        pass
    return good


def describe_error():
    """(type name, traceback) of the exception being handled, as text."""
    kind = sys.exc_info()[0]
    return fs_text(kind.__name__), fs_text(traceback.format_exc())
