#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends, or prints, in an odd way."""
import atexit
import ctypes
import importlib
import os
import signal
import sys
import threading
import time

from ansible.module_utils.basic import AnsibleModule

module = None
JSON = '{"changed": false, "document": 1}'


def os_exit():
    print(JSON)
    os._exit(4)


def os_exit_flushed():
    print(JSON, flush=True)
    os._exit(0)


def segfault():
    ctypes.string_at(0)


def signal_self():
    os.kill(os.getpid(), signal.SIGSEGV)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)


def abort():
    os.abort()


def kill_after_json():
    print(JSON, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def pipe_signal():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)


def timer():
    signal.alarm(1)
    time.sleep(10)


def system_exit():
    raise SystemExit('a last wörd ☃')


def exit_tuple():
    raise SystemExit(('a', 1))


def exit_large():
    raise SystemExit(256 + 7)


def exit_false():
    print(JSON)
    sys.exit(False)


def keyboard():
    raise KeyboardInterrupt('by itself')


def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


def generator():
    raise GeneratorExit


def recursion():
    recursion()


def no_memory():
    raise MemoryError


def text():
    raise ValueError('ünï ☃ \udcff')


class Odd(Exception):
    def __str__(self):
        raise RuntimeError('no text')


def odd_exception():
    raise Odd


def chain():
    try:
        {}['missing']
    except KeyError as e:
        raise ValueError('told by another') from e


def context():
    try:
        {}['missing']
    except KeyError:
        os.stat('/nowhere/at/all')


def group():
    if sys.version_info < (3, 11):
        raise ValueError
    raise ExceptionGroup('several', [ValueError('one'), TypeError('two')])  # noqa: F821


def late_import():
    importlib.import_module('ansible.module_utils.kinds_nowhere')


def syntax():
    compile('def broken(:\n  pass', 'kinds', 'exec')


def warned_import():
    """The second time too: a new interpreter says it again."""
    import this  # noqa: F401
    try:
        import asynchat  # noqa: F401
    except ImportError:
        pass  # of newer Pythons
    sys.exit(9)


def other_exit():
    sys.exitfunc = None
    raise OSError(28, 'No space left on device', '/kinds')


def atexit_prints():
    atexit.register(lambda: print('at the end'))
    atexit.register(lambda: os.write(2, b'at the end, on stderr\n'))


def atexit_raises():
    atexit.register(lambda: 1 / 0)


def atexit_exits():
    atexit.register(lambda: os._exit(6))


def atexit_after():
    """Exit functions come after threads."""
    atexit.register(lambda: os.write(2, b'exit function\n'))
    threading.Thread(target=lambda: (time.sleep(0.2), os.write(2, b'thread\n'))).start()


def junk_around():
    print('junk before')
    os.write(1, b'junk by descriptor\n')
    atexit.register(lambda: print('junk after'))


def fd_before():
    os.write(1, b'by descriptor\n')
    print('by print')


def fd_after():
    try:
        module.exit_json(changed=False, at='first')
    except SystemExit:
        os.write(1, b'by descriptor after\n')
        raise


def two_documents():
    print(JSON)


def caught():
    try:
        module.exit_json(changed=False, at='first')
    except SystemExit:
        pass


def fail_twice():
    try:
        module.fail_json(msg='first')
    except SystemExit:
        pass
    module.fail_json(msg='second', rc=5)


def one_line():
    sys.stdout.write('no newline: ')


def c_output():
    """Of the C library, which flushes it at the end of the process."""
    ctypes.CDLL(None).printf(b'by printf\n')


def c_output_killed():
    ctypes.CDLL(None).printf(b'lost\n')
    print(JSON, flush=True)
    os._exit(0)


def silence():
    sys.exit(0)


def silence_returns():
    return 'returns'


def silence_fails():
    sys.exit(9)


def invalid():
    os.write(1, b'\xff\xfe not UTF-8 \xe4\n')


def invalid_json():
    os.write(1, b'{"changed": false, "text": "\xff\xfe"}\n')
    sys.exit(0)


def surrogate():
    return 'a lone surrogate: \udcff, a null: \0, a snowman: ☃'


def strange():
    return [float('inf'), {1: 2, None: 3}, (1, 2), {1}, b'bytes \xff', 1 << 70, {'a' * 300: None}]


def large():
    return 'x' * (3 << 20)


def large_stderr():
    for _ in range(256):
        os.write(2, b'e' * 4095 + b'\n')


def large_junk():
    print('j' * (1 << 20))


def empty_lines():
    print('\n\n\r\n')


def escape():
    print('\x1b[31mred\x1b[0m \x07\r')


def execv():
    os.execv('/bin/echo', ['echo', JSON])


def execv_fails():
    os.execv('/bin/sh', ['sh', '-c', 'echo "{\\"msg\\": \\"by sh\\", \\"failed\\": true}"; exit 3'])


def fork_both():
    """Parent and child print a result, the child first."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os.write(1, JSON.encode())
        os._exit(0)
    return 'child'


def fork_child_answers():
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return 'child'


def stdin_closed():
    os.close(0)
    return os.open('/etc/hostname', os.O_RDONLY)


def thread_exits():
    thread = threading.Thread(target=lambda: sys.exit(5))
    thread.start()
    thread.join()


def thread_kills():
    threading.Thread(target=lambda: (print(JSON, flush=True), os._exit(0))).start()
    time.sleep(10)


def unraisable():
    class Last:
        def __del__(self):
            raise ValueError('nobody listens')
    Last()


def deprecated():
    import warnings
    warnings.warn('a warning of Python', UserWarning, stacklevel=1)
    module.warn('a warning of the module')
    module.deprecate('a deprecation', version='9.9', collection_name='ansible.builtin')


def main():
    global module
    module = AnsibleModule({'how': {'required': True}})
    how = module.params['how']
    found = globals()[how]()
    if found != 'returns':
        module.exit_json(changed=False, how=how, found=found)


if __name__ == '__main__':
    main()
