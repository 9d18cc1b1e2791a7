"""A stand-in for ansible.module_utils, small and the same for every Python, and modules that use it."""

from __future__ import annotations

from typing import Any

from .engine import Closure

BASIC = '''
import json
import sys
try:
    import selectors
except ImportError:
    pass

_ANSIBLE_ARGS = None
NUMBER = 1
ITEMS = ['one']
TABLE = {'one': 1}


class AnsibleModule(object):
    registry = {}
    flag = 'clean'

    def __init__(self):
        args = _ANSIBLE_ARGS.decode('utf-8')
        self.params = json.loads(args)['ANSIBLE_MODULE_ARGS']

    def exit_json(self, **result):
        print(json.dumps(result))
        sys.exit(0)
'''

# What layout 2 enters: the real one has this name and this signature.
LOADER = '''
import runpy
from ansible.module_utils import basic


def run_module(json_params, profile, module_fqn, modlib_path, extensions):
    basic._ANSIBLE_ARGS = json_params
    basic._PROFILE = profile
    runpy.run_module(mod_name=module_fqn, init_globals=dict(_module_fqn=module_fqn, _modlib_path=modlib_path),
                     run_name='__main__', alter_sys=True)
'''

# Runs what it is told to.
PROBE = '''
import os
import signal
import sys
from ansible.module_utils import basic

module = basic.AnsibleModule()
result = {}
exec(module.params['code'])
module.exit_json(pid=os.getpid(), **result)
'''

# Tells all that an earlier run could have left behind.
STATE = '''
import atexit
import errno
import locale
import os
import resource
import signal
import sys
import threading
import time
import warnings
from ansible.module_utils import basic


def children():
    try:
        os.waitpid(-1, os.WNOHANG)
    except OSError as e:
        return e.errno != errno.ECHILD
    return True


def descriptors():
    found = {}
    for name in os.listdir('/proc/self/fd'):
        try:
            found[name] = os.readlink('/proc/self/fd/' + name).partition(':')[0]
        except OSError:
            pass
    standard = [found.pop(name, None) for name in '012']
    return [standard, sorted(found.values())]


def handlers():
    found = {}
    for n in range(1, signal.NSIG):
        try:
            found[str(n)] = getattr(signal.getsignal(n), '__name__', str(signal.getsignal(n)))
        except (OSError, ValueError):
            pass
    return found


mask = os.umask(0o77)
os.umask(mask)
cls = basic.AnsibleModule
status = open('/proc/self/status').read().splitlines()
report = dict(
    cwd=os.getcwd(), umask=mask, environ=dict(os.environ), handlers=handlers(), children=children(),
    blocked=[line for line in status if line.startswith('SigBlk')], descriptors=descriptors(),
    threads=threading.active_count(), path=sys.path[1:], argv=sys.argv[1:], meta_path=len(sys.meta_path),
    atexit=getattr(atexit, '_ncallbacks', lambda: len(atexit._exithandlers))(),
    number=basic.NUMBER, items=basic.ITEMS, table=basic.TABLE, registry=cls.registry, flag=cls.flag,
    extra=[hasattr(basic, 'LEFT'), hasattr(cls, 'left'), 'ansible.module_utils.extra' in sys.modules],
    nofile=resource.getrlimit(resource.RLIMIT_NOFILE), timer=signal.getitimer(signal.ITIMER_REAL),
    filters=len(warnings.filters), locale=locale.setlocale(locale.LC_ALL), nice=os.nice(0),
    ids=[os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()], zone=time.tzname,
    streams=[sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno()], session=os.getsid(0) == os.getpid(),
    hook=sys.excepthook is sys.__excepthook__, recursion=sys.getrecursionlimit())
basic.AnsibleModule().exit_json(pid=os.getpid(), state=report)
'''

FILES = {
    'ansible/__init__.py': '',
    'ansible/module_utils/__init__.py': '',
    'ansible/module_utils/basic.py': BASIC,
    'ansible/module_utils/extra.py': 'VALUE = "extra"\n',
    'ansible/module_utils/_internal/__init__.py': '',
    'ansible/module_utils/_internal/_ansiballz/__init__.py': '',
    'ansible/module_utils/_internal/_ansiballz/_loader.py': LOADER,
    'ansible/modules/__init__.py': '',
    'ansible/modules/probe.py': PROBE,
    'ansible/modules/state.py': STATE,
}

PROBE_NAME, STATE_NAME = 'ansible.modules.probe', 'ansible.modules.state'
CLOSURE = Closure(FILES)


def closure(**files: str) -> Closure:
    """The stand-in with other files; '__' in a keyword stands for '/'."""
    return Closure({**FILES, **{name.replace('__', '/') + '.py': text for name, text in files.items()}})


class Runners:
    """Module runs in one context."""

    def __init__(self, engine: Any, context: int) -> None:
        self.engine, self.context = engine, context
        engine.define(CLOSURE)

    def probe(self, code: str, **more: Any) -> Any:
        """Run `code`; it may put values into `result`."""
        return self.engine.run(self.context, CLOSURE, PROBE_NAME, {'code': code}, **more)

    def start(self, code: str, **more: Any) -> int:
        return self.engine.start(self.context, CLOSURE, PROBE_NAME, {'code': code}, **more)

    def state(self, isolation: str, **more: Any) -> dict[str, Any]:
        """What an innocent module sees."""
        done = self.engine.run(self.context, CLOSURE, STATE_NAME, {}, isolation=isolation, **more)
        return done.value
