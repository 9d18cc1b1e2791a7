#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes its process in one way or another, and ends well."""
import builtins
import ctypes
import decimal
import gc
import grp
import json
import locale
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import syslog
import tempfile
import threading
import time
import warnings

from ansible.module_utils import basic
from ansible.module_utils.common import respawn

module = None
kept = []


def remember(pid):
    """The last task of the play ends it."""
    with open('/tmp/kinds-pids-%d' % os.getuid(), 'a') as file:
        file.write('%d\n' % pid)


def child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def silent():
    for fd in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), fd)
    os.closerange(3, 100)


def fork():
    return os.waitpid(child(lambda: os.write(1, b'')), 0)[1]


def fork_children():
    for _ in range(3):
        remember(child(lambda: (silent(), time.sleep(1000))))


def zombie():
    child(lambda: None)


def daemonise():
    def first():
        os.setsid()
        silent()
        pid = os.fork()
        if pid:
            remember(pid)
            os._exit(0)
        time.sleep(1000)
    os.waitpid(child(first), 0)


def session():
    try:
        os.setsid()
    except OSError as e:
        return e.strerror
    return 'a new one'


def group():
    os.setpgid(0, 0)


def popen():
    null = subprocess.DEVNULL
    remember(subprocess.Popen(['sleep', '1000'], stdin=null, stdout=null, stderr=null, start_new_session=True).pid)
    remember(subprocess.Popen(['sleep', '1000'], stdin=null, stdout=null, stderr=null).pid)


def popen_inherits():
    subprocess.Popen(['sleep', '1'])


def fds():
    for path in ('/etc/hostname', '/etc/passwd', '/tmp'):
        os.set_inheritable(os.open(path, os.O_RDONLY), True)
    kept.append(open('/etc/group'))  # noqa: SIM115
    kept.append(socket.socketpair())
    kept.append(os.pipe())


def memory():
    kept.append(bytearray(64 << 20))
    json.kinds = kept


def threads():
    for daemon in (True, False):
        threading.Thread(target=time.sleep, args=(0.3,), daemon=daemon).start()


def thread_prints():
    threading.Thread(target=lambda: (time.sleep(0.2), os.write(2, b'from a thread\n'))).start()


def thread_raises():
    threading.Thread(target=lambda: 1 / 0).start()


def cwd():
    os.chdir('/usr/lib')


def cwd_gone():
    path = tempfile.mkdtemp()
    os.chdir(path)
    os.rmdir(path)


def umask():
    os.umask(0o077)


def uid():
    """What stock imports after that it can't find: its zip file is another's."""
    os.setuid(65534)
    print('{"changed": true, "ids": "%d %d"}' % (os.getuid(), os.geteuid()), flush=True)
    os._exit(0)


def ids():
    os.setgroups([1, 2, 3])
    os.setresgid(65534, 65534, 65534)
    return sorted(os.getgroups()), grp.getgrgid(os.getgid()).gr_name


def environ():
    os.environ.update(KINDS='dirty', PATH='/nowhere', PYTHONPATH='/nowhere', HOME='/nowhere')
    del os.environ['LANG' if 'LANG' in os.environ else 'SHELL']
    ctypes.CDLL(None).setenv(b'KINDS_C', b'dirty', 1)


def no_environ():
    os.environ.clear()


def zone():
    os.environ['TZ'] = 'Asia/Tokyo'
    time.tzset()
    locale.setlocale(locale.LC_ALL, 'C')


def signals():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGQUIT, signal.SIGTERM])


def alarm():
    signal.alarm(1)
    signal.setitimer(signal.ITIMER_VIRTUAL, 60)


def limits():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (5000, 5000))


def file_limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def nice():
    os.nice(5)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    with open('/proc/self/oom_score_adj', 'w') as file:
        file.write('7')


def recursion():
    sys.setrecursionlimit(150)


def interpreter():
    sys.setswitchinterval(0.5)
    sys.dont_write_bytecode = True
    sys.setprofile(lambda *_: None)
    gc.disable()
    warnings.simplefilter('error', UserWarning)
    decimal.getcontext().prec = 3
    socket.setdefaulttimeout(0.001)
    sys.excepthook = sys.displayhook = threading.excepthook = print


class Blind:
    def find_spec(self, *_):
        return None


def import_path():
    sys.path[:0] = ['/nowhere']
    sys.meta_path.append(Blind())


def modules():
    sys.modules['kinds_left'] = json
    sys.modules['ansible.module_utils.kinds_left'] = json
    del sys.modules['ansible.module_utils.basic']


def patches():
    builtins.kinds = basic.kinds = basic.AnsibleModule.kinds = json.kinds = True
    builtins.open = os.listdir = json.loads = None
    usual = basic.AnsibleModule.exit_json
    basic.AnsibleModule.exit_json = lambda self, **more: usual(self, patched=True, **more)
    basic.AnsibleModule.run_command = None


def no_print():
    builtins.print = lambda *_, **__: None


def streams():
    sys.stdout = sys.stderr = sys.stdin = None


def file_as_stdout():
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def closed_stdout():
    sys.stdout.close()


def all_closed():
    os.closerange(0, 256)


def stdout_fd_closed():
    os.close(1)


def full_stdout():
    os.dup2(os.open('/dev/full', os.O_WRONLY), 1)


def stderr_closed():
    os.close(2)


def extensions():
    import sqlite3
    import ssl
    import xml.etree.ElementTree as tree
    base = sqlite3.connect(':memory:')
    return (base.execute('select 1+1').fetchone(), ssl.create_default_context().verify_mode.name,
            tree.fromstring('<a><b/></a>')[0].tag, ctypes.CDLL(None).abs(-3))


def processes():
    context = multiprocessing.get_context('fork')
    with context.Pool(2) as pool:
        found = pool.map(abs, [-1, -2, -3])
    one = context.Process(target=os.write, args=(2, b'from a process\n'))
    one.start()
    one.join()
    return found, one.exitcode


def spawned_process():
    one = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(0,))
    one.start()
    one.join()
    return one.exitcode


def logs():
    import logging
    logging.basicConfig(level=logging.DEBUG)
    logging.debug('to the root logger')
    syslog.openlog('kinds', syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog('to the system')
    module.log('a log')
    module.debug('a debug line')


def tmpdir_used():
    path = tempfile.mkdtemp(dir=module.tmpdir)
    with open(path + '/left', 'w') as file:
        file.write('left')
    return oct(os.stat(module.tmpdir).st_mode), module.tmpdir == module.tmpdir


def tmpdir_gone():
    shutil.rmtree(module.tmpdir)


def read_stdin():
    return sys.stdin.read(), os.read(0, 10).decode()


def sudo():
    return subprocess.run(['sudo', '-n', '-u', 'm_plain', 'sh', '-c', 'id -un; pwd; umask; tty'], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, check=False).stdout.decode()


def commands():
    found = [module.run_command(['sh', '-c', 'echo out; echo err >&2; pwd; cat; exit 3'], data='in', cwd='/usr'),
             module.run_command('echo $KINDS', use_unsafe_shell=True, environ_update={'KINDS': 'set'}, umask=0o77)]
    return found, os.system('exit 2'), os.popen('echo popen').read()


def source():
    import inspect
    import linecache
    import pkgutil
    return (inspect.getsource(basic.AnsibleModule).partition('\n')[0], len(inspect.getsource(group)),
            linecache.getline(__file__, 1), sorted(one.name for one in pkgutil.iter_modules(basic.__spec__.parent and
                                                   sys.modules['ansible.module_utils'].__path__) if one.name == 'basic'))


def again():
    """Under another interpreter, as apt and dnf do it."""
    if not respawn.has_respawned():
        respawn.respawn_module('/usr/bin/python3')
    return [os.getcwd(), sys.argv, __name__]


def main():
    global module
    module = basic.AnsibleModule({'how': {'required': True}})
    how = module.params['how']
    module.exit_json(changed=True, how=how, found=globals()[how]())


if __name__ == '__main__':
    main()
