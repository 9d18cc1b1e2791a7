"""Modules in runners: what they print, how they end, and that they run side by side."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.support import leaks, standin
from tests.support.standin import PROBE_NAME, Runners

both = pytest.mark.parametrize('isolation', ['fork', 'inline'])


@pytest.fixture
def runners(shared) -> Runners:
    return Runners(shared.engine, shared.context)


@both
@pytest.mark.parametrize('layout', [1, 2])
def test_run(runners, shared, isolation: str, layout: int):
    done = runners.probe('import ansible.module_utils.extra as extra\n'
                         'result.update(version=sys.version_info[:2], extra=extra.VALUE, name=__name__, '
                         'argv=sys.argv[1:], fqn=_module_fqn, there=os.path.exists(_modlib_path),'
                         'on_path=_modlib_path in sys.path, profile=getattr(basic, "_PROFILE", None),'
                         'text=module.params["code"][-3:])  # \u00e9\u4e16',
                         isolation=isolation, layout=layout)
    assert done.err == b''
    value = done.value
    del value['pid']
    assert value == {'version': list(shared.interpreter.version), 'extra': 'extra', 'name': '__main__', 'argv': [],
                     'fqn': PROBE_NAME, 'there': False, 'on_path': True, 'text': ' \u00e9\u4e16',
                     'profile': 'legacy' if layout == 2 else None}


@both
def test_where_it_runs(runners, tmp_path, isolation: str):
    done = runners.probe('import resource\n'
                         'result.update(cwd=os.getcwd(), env=os.environ["MITOSIS_TEST"], executable=sys.executable,'
                         'stdin=sys.stdin.read(), soft=resource.getrlimit(resource.RLIMIT_NOFILE)[0])',
                         isolation=isolation, cwd=str(tmp_path), env={'MITOSIS_TEST': 'w\u00e9rt'},
                         interpreter='/usr/bin/some-python', rlimit_nofile=200).value
    del done['pid']
    assert done == {'cwd': str(tmp_path), 'env': 'w\u00e9rt', 'executable': '/usr/bin/some-python', 'stdin': '',
                    'soft': 200}
    assert 'MITOSIS_TEST' not in runners.state(isolation)['state']['environ']


@both
def test_much_output(runners, isolation: str):
    size = 1 << 20
    done = runners.probe(f'sys.stdout.write("o" * {size}); sys.stdout.flush()\n'
                         f'os.write(2, b"e" * {size}) == {size} or sys.exit("short")', isolation=isolation)
    assert done.rc == 0
    assert done.out.startswith(b'o' * size)
    assert json.loads(done.out[size:])['pid']
    assert done.err == b'e' * size


@both
@pytest.mark.parametrize(('code', 'rc', 'err'), [
    ('sys.exit(5)', 5, b''), ('sys.exit()', 0, b''), ('sys.exit(256)', 0, b''), ('sys.exit(-1)', 255, b''),
    ('sys.exit("it went wrong")', 1, b'it went wrong\n'), ('os._exit(3)', 3, b''),
    ('os.kill(os.getpid(), 11)', 128 + signal.SIGSEGV, b''), ('os.kill(os.getpid(), 9)', 128 + signal.SIGKILL, b'')])
def test_ends(runners, isolation: str, code: str, rc: int, err: bytes):
    done = runners.probe('os.write(1, b"said")\n' + code, isolation=isolation)
    assert (done.rc, done.out, done.err) == (rc, b'said', err)
    assert runners.probe('result["fine"] = True', isolation=isolation).value['fine']


@both
def test_threads_of_a_pool_that_nobody_shut_down(runners, shared, isolation: str):
    if shared.interpreter.version < (3,):
        pytest.skip('Python 2 has no concurrent.futures')
    done = runners.probe('import concurrent.futures\n'
                         'global pool\npool = basic.POOL = concurrent.futures.ThreadPoolExecutor(2)\n'
                         'result["found"] = pool.submit(lambda: 42).result()', isolation=isolation)
    assert done.value['found'] == 42


@both
def test_a_hook_that_raises(runners, isolation: str):
    done = runners.probe('os.write(1, b"said ")\nsys.stdout.write("printed")\nsys.excepthook = None\n1/0',
                         isolation=isolation)
    assert (done.rc, done.out) == (1, b'said printed')
    assert b'ZeroDivisionError' in done.err or b'TypeError' in done.err


@both
def test_an_interrupt(runners, shared, isolation: str):
    """As a shell tells the end of a Python that was interrupted."""
    assert runners.probe('raise KeyboardInterrupt', isolation=isolation).rc == \
        (130 if shared.interpreter.version >= (3, 8) else 1)


@both
def test_output_comes_before_exit_functions(runners, isolation: str):
    done = runners.probe('import atexit\natexit.register(os._exit, 6)\nsys.stdout.write("said")\nsys.exit()',
                         isolation=isolation)
    assert (done.rc, done.out) == (6, b'said')


@both
def test_output_that_can_not_be_written(runners, shared, isolation: str):
    done = runners.probe('sys.stdout = open("/dev/full", "w")\nsys.stdout.write("lost")\nsys.exit()',
                         isolation=isolation)
    three = shared.interpreter.version >= (3,)
    assert (done.rc == 120) == three
    assert (b'Exception ignored' in done.err) == three


@both
def test_no_session_of_its_own(runners, isolation: str):
    done = runners.probe('result["leads"] = [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()]',
                         isolation=isolation)
    assert done.value['leads'] == [False, True]


def test_an_import_that_prints_prints_each_time(runners):
    for _ in range(3):
        assert b'Zen of Python' in runners.probe('import this\nsys.exit()').out


@both
def test_output_of_c(runners, isolation: str):
    done = runners.probe('import ctypes\nlibc = ctypes.CDLL(None)\n'
                         # Buffered, even where PYTHONUNBUFFERED is set.
                         'libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, 0, 4096)\n'
                         'libc.printf(b"from C")', isolation=isolation)
    assert done.rc == 0
    assert b'from C' in done.out


@both
def test_raises(runners, isolation: str):
    done = runners.probe('1/0', isolation=isolation)
    assert (done.rc, done.out) == (1, b'')
    lines = done.err.decode().splitlines()
    assert lines[0] == 'Traceback (most recent call last):'
    assert lines[-1].startswith('ZeroDivisionError: ')
    assert any('ansible_payload.zip/ansible/modules/probe.py' in line for line in lines)


@both
def test_a_module_that_is_no_python(runners, shared, isolation: str):
    broken = standin.closure(ansible__modules__broken='def (:\n')
    shared.engine.define(broken)
    done = shared.engine.run(shared.context, broken, 'ansible.modules.broken', {}, isolation=isolation)
    assert done.rc == 1
    assert b'SyntaxError' in done.err
    assert runners.probe('', isolation=isolation).rc == 0


def test_a_module_that_does_not_exit(runners, shared):
    lazy = standin.closure(ansible__modules__lazy='print("no exit")\n')
    shared.engine.define(lazy)
    done = shared.engine.run(shared.context, lazy, 'ansible.modules.lazy', {})
    assert (done.rc, done.out.splitlines()[0]) == (1, b'no exit')
    assert json.loads(done.out.splitlines()[1])['failed'] is True


@both
def test_two_at_the_same_time(runners, shared, fifo, isolation: str):
    """Each waits for the other's word."""
    there, back = fifo('there'), fifo('back')
    other = shared.engine.connect()
    first = runners.start(f'open({there!r}, "w").write("a"); result["heard"] = open({back!r}).read()',
                          isolation=isolation)
    second = runners.start(f'result["heard"] = open({there!r}).read(); open({back!r}, "w").write("b")',
                           isolation=isolation, client=other)
    values = [shared.engine.wait(first).value, shared.engine.wait(second, other).value]
    assert [value['heard'] for value in values] == ['b', 'a']
    assert values[0]['pid'] != values[1]['pid']
    other.close()


def test_a_module_beside_a_command(runners, shared, fifo):
    """A runner that starts while a command runs holds none of its pipes: the command sees the end of its input."""
    engine, there, back = shared.engine, fifo('there'), fifo('back')
    command = engine.client.start(shared.context, 'processes', 'exec',
                                  {'argv': ['/bin/sh', '-c', f'echo go >{there}; cat {back}; cat']}, b'input')
    others = [engine.connect() for _ in range(4)]
    code = 'import time\nwhile not os.path.exists(%r): time.sleep(0.005)' % (there + '.go')
    handles = [(other, runners.start(code, client=other)) for other in others]
    with open(there) as ready:
        assert ready.read() == 'go\n'
    open(there + '.go', 'w').close()
    for other, handle in handles:
        assert engine.wait(handle, other).rc == 0
        other.close()
    with open(back, 'w') as end:
        end.write('done ')
    assert engine.client.wait(command, 'the command', 30)[1] == b'done input'


@both
def test_leaves_a_daemon_with_the_output_open(runners, fifo, isolation: str):
    gate = fifo('gate')
    done = runners.probe(f'pid = os.fork()\nif not pid:\n  os.setsid(); open({gate!r}).read(); os._exit(0)\n'
                         'result["child"] = pid', isolation=isolation)
    child = done.value['child']
    assert leaks.alive(child)
    innocent = runners.state(isolation)['state']
    assert innocent['children'] is False
    with open(gate, 'w'):
        pass
    leaks.wait_until(lambda: not leaks.alive(child), 'the end of the daemon')


@pytest.mark.timeout(240)
@both
@pytest.mark.parametrize('last', ['os._exit(3)', 'sys.exit(3)'])
def test_leaves_a_daemon_that_keeps_talking(runners, tmp_path, isolation: str, last: str):
    """Whatever a daemon writes to the output of a module that has ended, the call returns."""
    stop = str(tmp_path / 'stop')
    done = runners.probe('import time\npid = os.fork()\nif not pid:\n'
                         f'  while not os.path.exists({stop!r}):\n'
                         '    try:\n      os.write(1, b".")\n    except OSError:\n      pass\n    time.sleep(0.01)\n'
                         f'  os._exit(0)\nos.write(2, str(pid).encode())\n{last}', isolation=isolation)
    assert done.rc == 3
    child = int(done.err)
    assert leaks.alive(child)
    open(stop, 'w').close()
    leaks.wait_until(lambda: not leaks.alive(child), 'the end of the daemon')


@both
def test_forks_and_both_go_on(runners, tmp_path, isolation: str):
    """A child of a module that runs into the module's end is not taken for the module."""
    note = tmp_path / 'note'
    done = runners.probe(f'pid = os.fork()\nif not pid:\n  open({str(note)!r}, "w").write("child"); sys.exit(9)\n'
                         'os.waitpid(pid, 0)\nresult["parent"] = True', isolation=isolation)
    assert done.value['parent'] is True
    assert note.read_text() == 'child'


@both
def test_exit_functions_run(runners, tmp_path, isolation: str):
    note = tmp_path / 'note'
    done = runners.probe(f'import atexit\natexit.register(lambda open=open, sys=sys: ('
                         f'open({str(note)!r}, "w").write("ran"), '
                         'sys.stdout.write("late\\n")))', isolation=isolation)
    assert note.read_text() == 'ran'
    assert done.out.endswith(b'late\n')
    assert runners.state(isolation)['state']['atexit'] == runners.state('fork')['state']['atexit']


@both
def test_threads_are_waited_for(runners, tmp_path, isolation: str):
    """As by the interpreter at its end: the work of a thread that is no daemon is done when the call returns.  Its
    pause is what an end that does not wait would not give it."""
    note = tmp_path / 'note'
    code = (f'import threading, time\ndef work(time=time, open=open):\n  time.sleep(0.2)\n'
            f'  open({str(note)!r}, "w").write("done")\n'
            'threading.Thread(target=work).start()')
    assert runners.probe(code, isolation=isolation).rc == 0
    assert note.read_text() == 'done'
    assert runners.state(isolation)['state']['threads'] == 1


@both
def test_closes_all_descriptors(runners, isolation: str):
    """As a module that makes itself a daemon does; it goes on, and its exit code is known."""
    done = runners.probe('os.closerange(3, 200)\nimport time\ntime.sleep(0.1)\nprint("still there")\n'
                         'sys.stdout.flush()\nsys.exit(7)', isolation=isolation)
    assert (done.rc, done.out, done.err) == (7, b'still there\n', b'')
    assert runners.state(isolation)['state']['children'] is False


def test_randomness_is_not_inherited(runners):
    code = 'import random, uuid\nresult["r"] = [random.random(), str(uuid.uuid4())]'
    assert runners.probe(code).rc == 0  # from here on, `random` is part of what executors are forked from
    found = [runners.probe(code).value['r'] for _ in range(4)]
    assert len({value for value, _ in found}) == 4
    assert len({text for _, text in found}) == 4


# --- code

@both
def test_two_closures_with_other_content_under_one_name(runners, shared, isolation: str):
    text = ('from ansible.module_utils import basic, extra, user\n'
            'basic.AnsibleModule().exit_json(extra=extra.VALUE, seen=user.SEEN)\n')
    user = 'from ansible.module_utils.extra import VALUE as SEEN\n'
    every = [standin.closure(ansible__modules__teller=text, ansible__module_utils__user=user,
                             ansible__module_utils__extra=f'VALUE = "{name}"\n') for name in ('a', 'b')]
    for one in every:
        shared.engine.define(one)
    seen = [shared.engine.run(shared.context, every[n % 2], 'ansible.modules.teller', {}, isolation=isolation).value
            for n in range(4)]
    assert [value['extra'] for value in seen] == ['a', 'b', 'a', 'b']
    assert [value['seen'] for value in seen] == ['a', 'b', 'a', 'b']


@both
def test_what_is_in_another_closure_can_not_be_imported(runners, shared, isolation: str):
    more = standin.closure(ansible__module_utils__secret='VALUE = 1\n',
                           ansible__modules__with_secret='from ansible.module_utils import basic, secret\n'
                                                         'basic.AnsibleModule().exit_json(value=secret.VALUE)\n')
    shared.engine.define(more)
    assert shared.engine.run(shared.context, more, 'ansible.modules.with_secret', {},
                             isolation=isolation).value == {'value': 1}
    code = 'try:\n  from ansible.module_utils import secret\nexcept ImportError: result["missing"] = True'
    assert runners.probe(code, isolation=isolation).value['missing']


RESPAWNING = '''
import os, subprocess, sys
from ansible.module_utils import basic
code = "import sys; sys.path.insert(0, %r); from ansible.module_utils.extra import VALUE; print(VALUE)" % _modlib_path
out = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE).communicate()[0]
basic.AnsibleModule().exit_json(path=_modlib_path, out=out.decode(),
                                mode=os.stat(os.path.dirname(_modlib_path)).st_mode,
                                names=sorted(__import__("zipfile").ZipFile(_modlib_path).namelist()))
'''


@both
def test_respawn_finds_the_zip_on_disk(runners, shared, isolation: str):
    closure = standin.closure(ansible__module_utils__common____init__='',
                              ansible__module_utils__common__respawn='', ansible__modules__again=RESPAWNING)
    shared.engine.define(closure)
    value = shared.engine.run(shared.context, closure, 'ansible.modules.again', {}, isolation=isolation).value
    assert value['out'] == 'extra\n'
    assert value['mode'] & 0o777 == 0o700
    assert {'ansible/modules/again.py', 'ansible/module_utils/extra.py', 'sitecustomize.py'} <= set(value['names'])
    assert not os.path.exists(os.path.dirname(value['path']))


@both
def test_a_zip_that_the_module_did_not_remove(runners, shared, isolation: str):
    closure = standin.closure(ansible__module_utils__common____init__='', ansible__module_utils__common__respawn='',
                              ansible__modules__dies='import os\nos.write(1, _modlib_path.encode())\nos._exit(3)')
    shared.engine.define(closure)
    for _ in range(2):
        done = shared.engine.run(shared.context, closure, 'ansible.modules.dies', {}, isolation=isolation)
        assert (done.rc, done.err) == (3, b'')
        assert not os.path.exists(os.path.dirname(done.out))


def test_resources_of_the_closure(runners, shared):
    """What modules use of the import system: source, data, tracebacks' lines."""
    code = ('import inspect, pkgutil\nfrom ansible.module_utils import extra\n'
            'result["source"] = inspect.getsource(extra)\n'
            'result["data"] = pkgutil.get_data("ansible.module_utils", "extra.py").decode()\n'
            'result["file"] = extra.__file__')
    value = runners.probe(code).value
    assert value['source'] == value['data'] == standin.FILES['ansible/module_utils/extra.py']
    assert value['file'].endswith('/ansible_payload.zip/ansible/module_utils/extra.py')


def test_ends_of_parameters_travel_once(engine, edge):
    """The same end, of any bytes, with others before it; one that is there once only; none."""
    runners = Runners(engine, engine.local(edge.path))
    assert runners.probe('').rc == 0
    held = engine.status()['modules']['files']
    for number, (code, ends) in enumerate([('a = 1', 9), ('a = 2', 9), ('a = 3', 9), ('a = 4', 0), ('a = 5', 10 ** 6)]):
        done = runners.probe(f'{code}\nresult.update(a=a, u="\u00e9\u4e16")', ends=ends)
        assert done.value['a'] == number + 1
        assert done.value['u'] == '\u00e9\u4e16'
        assert engine.status()['modules']['files'] == held + (number > 0)
