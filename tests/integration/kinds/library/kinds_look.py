#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An innocent module: it tells what its process looks like."""
import builtins
import decimal
import gc
import json
import locale
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

from ansible.module_utils import basic

# What is of one login or one process; the last is of what sudo is told to run.
OWN = ('SSH_CLIENT', 'SSH_CONNECTION', 'XDG_SESSION_ID', 'XDG_RUNTIME_DIR', '_', 'SUDO_COMMAND')


def own_files():
    """Descriptors above the three that are neither pipes nor the module's own zip file."""
    found = []
    for name in sorted(os.listdir('/proc/self/fd'), key=int):
        try:
            target = os.readlink('/proc/self/fd/' + name)
        except OSError:
            continue
        if int(name) > 2 and not target.startswith('pipe:') and 'ansible' not in target and '/fd' not in target:
            found.append(target)
    return found


def of_child():
    """What a process that this one starts would find: descriptors, signals, environment, scheduling."""
    script = ('ls /proc/self/fd | wc -l; grep -E "Sig(Blk|Ign)|Groups" /proc/self/status; env | cut -d= -f1 | sort; ulimit -a; '
              'umask; pwd; nice; cat /proc/self/oom_score_adj; tail -n 1 /proc/self/coredump_filter')
    text = subprocess.run(['sh', '-c', script], close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False).stdout.decode()
    return [line for line in text.splitlines() if line not in OWN]


def python():
    return dict(
        stdin=sys.stdin.read(), terminals=[os.isatty(fd) for fd in range(3)], argv=sys.argv,
        streams=[(type(s).__name__, s.encoding, s.errors, s.name, getattr(s, 'line_buffering', None))
                 for s in (sys.stdin, sys.stdout, sys.stderr)],
        same=[sys.stdin is sys.__stdin__, sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__,
              sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__,
              threading.excepthook is threading.__excepthook__],
        path=[path for path in sys.path if 'ansible' not in path], executable=sys.executable, prefix=sys.prefix,
        modules=sorted(name for name in sys.modules if 'kinds' in name),
        recursion=sys.getrecursionlimit(), switch=sys.getswitchinterval(), flags=repr(sys.flags),
        hooks=[sys.gettrace(), sys.getprofile()], bytecode=sys.dont_write_bytecode, gc=[gc.isenabled(), gc.get_threshold()],
        filters=len([one for one in warnings.filters if one[2] is UserWarning]), precision=decimal.getcontext().prec,
        timeout=socket.getdefaulttimeout(), patched=[hasattr(builtins, 'kinds'), hasattr(json, 'kinds'),
                                                     hasattr(basic, 'kinds'), hasattr(basic.AnsibleModule, 'kinds'),
                                                     basic.AnsibleModule.__module__, print.__module__],
        threads=[thread.name for thread in threading.enumerate()], main=[__name__, __file__.rpartition('/')[2], __package__])


def process():
    mask = os.umask(0)
    os.umask(mask)
    with open('/proc/self/task/%d/children' % os.getpid()) as children:
        count = len(children.read().split())
    with open('/proc/self/comm') as comm:
        name = comm.read()
    return dict(
        cwd=os.getcwd(), umask=oct(mask), ids=[os.getresuid(), os.getresgid(), sorted(os.getgroups())], comm=name,
        environ={name: value for name, value in os.environ.items() if name not in OWN},
        handlers={number: repr(signal.getsignal(number)).partition(' at ')[0] for number in range(1, signal.NSIG)
                      if signal.getsignal(number) != signal.SIG_DFL},
        blocked=sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), timers=[signal.getitimer(n)[0] for n in range(3)],
        limits={name: resource.getrlimit(getattr(resource, name)) for name in dir(resource)
                    if name.startswith('RLIMIT_')}, nice=os.nice(0), affinity=sorted(os.sched_getaffinity(0)),
        tasks=len(os.listdir('/proc/self/task')), children=count, files=own_files(),
        zone=[time.tzname, time.strftime('%H', time.gmtime(0))],
        locale=[locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(), sys.getfilesystemencoding(),
                locale.getlocale()])


def main():
    module = basic.AnsibleModule({})
    module.exit_json(process=process(), python=python(), child=of_child(), tmpdir=sorted(os.listdir(module.tmpdir)))


if __name__ == '__main__':
    main()
