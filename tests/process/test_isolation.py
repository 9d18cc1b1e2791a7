"""What a module leaves behind is seen by no other, whichever way it is run."""

from __future__ import annotations

import contextlib
import os

import pytest

from mitogen_core.wire.errors import MitosisError
from tests.support import leaks
from tests.support.standin import CLOSURE, PROBE_NAME, Runners

# name -> (code, does an interpreter that ran it inline stay in use).  None: it may or may not.
TRACES: dict[str, tuple[str, bool | None]] = {
    'nothing': ('pass', True),
    'cwd': ('os.chdir("/usr")', True),
    'umask': ('os.umask(0o123)', True),
    'environ': ('os.environ["LEFT"] = "1"; os.environ.pop("PATH"); os.environ["HOME"] = "/left"', True),
    'signal handlers': ('signal.signal(signal.SIGTERM, lambda *a: None); signal.signal(signal.SIGHUP, signal.SIG_IGN)',
                        True),
    'timer': ('signal.setitimer(signal.ITIMER_REAL, 3600)', True),
    'sys.path': ('sys.path.insert(0, "/left"); sys.path.append("/left2")', True),
    'sys.path replaced': ('sys.path = ["/left"] + sys.path', True),
    'sys.argv': ('sys.argv[:] = ["left", "left"]', True),
    'meta_path': ('sys.meta_path.append(object())', True),
    'descriptor': ('os.open("/dev/null", 0)', False),
    'file': ('basic.LEFT = open("/dev/zero")', True),
    'file in a cycle': ('basic.LEFT = [open("/dev/zero")]; basic.LEFT.append(basic.LEFT)', True),
    'thread': ('import threading; e = threading.Event(); t = threading.Thread(target=e.wait); t.daemon = True; '
               't.start()', False),
    'child': ('pid = os.fork()\nif not pid:\n  os.execv("/bin/sh", ["sh", "-c", "read x <" + module.params["gate"]])\n'
              'result["child"] = pid', False),
    'child of nobody': ('p = os.popen("(exec >/dev/null; read x <%s) & echo $!" % module.params["gate"])\n'
                        'result["child"] = int(p.read())', False),
    'dead child': ('pid = os.fork()\nif not pid: os._exit(0)', False),
    'exit function': ('import atexit; atexit.register(os.getpid)', False),
    'globals': ('basic.NUMBER = 2; basic.LEFT = True; basic.ITEMS = []', True),
    'containers': ('basic.ITEMS.append("left"); basic.TABLE.clear(); basic.AnsibleModule.registry["left"] = 1', True),
    'classes': ('basic.AnsibleModule.flag = "dirty"; basic.AnsibleModule.left = 1', True),
    'imports': ('import ansible.module_utils.extra', True),
    'limits': ('import resource; n = resource.getrlimit(resource.RLIMIT_NOFILE); '
               'resource.setrlimit(resource.RLIMIT_NOFILE, (100, n[1]))', True),
    'hard limits': ('import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))', None),
    'warnings': ('import warnings; warnings.simplefilter("error")', True),
    'locale': ('import locale; locale.setlocale(locale.LC_ALL, "C")', True),
    'closed output': ('basic.AnsibleModule.exit_json = None; os.write(1, b"{}"); os.close(1); os._exit(0)', False),
    'other output': ('module.exit_json = lambda **k: None; import json; print(json.dumps({"pid": os.getpid()})); '
                     'sys.stdout.flush(); n = os.open("/dev/null", os.O_WRONLY); os.dup2(n, 1); os.dup2(n, 2); '
                     'sys.exit()', False),
    'late output': ('class Late(object):\n  def __del__(self, write=os.write):\n    write(1, b"late")\n'
                    'basic.LEFT = Late()', None),
    'other streams': ('print("{}"); sys.stdout.flush(); sys.stderr = sys.stdout = open(os.devnull, "w"); '
                      'sys.exit()', True),
    'hook': ('sys.excepthook = None', True),
    'recursion limit': ('sys.setrecursionlimit(50000)', True),
    'nice': ('os.nice(5)', False),
    'blocked signals': ('getattr(signal, "pthread_sigmask", lambda *a: None)(getattr(signal, "SIG_BLOCK", 0), '
                        '[signal.SIGTERM])', True),
    'time zone': ('import time; os.environ["TZ"] = "Asia/Tokyo"; time.tzset()', True),
}
NEEDS_ROOT = {
    'groups': ('os.setgroups([12345])', False),
    'user': ('os.seteuid(65534)', False),
    'group': ('os.setegid(65534)', False),
}


@pytest.fixture
def runners(shared) -> Runners:
    return Runners(shared.engine, shared.context)


def probe(runners: Runners, name: str, isolation: str, gate: str):
    code = {**TRACES, **NEEDS_ROOT}[name][0]
    return runners.engine.run(runners.context, CLOSURE, PROBE_NAME, {'code': code, 'gate': gate}, isolation=isolation)


@pytest.mark.parametrize('isolation', ['fork', 'inline'])
@pytest.mark.parametrize('name', [*TRACES, *NEEDS_ROOT])
def test_leaves(runners, shared, fifo, isolation: str, name: str):
    if name in NEEDS_ROOT and os.getuid():
        pytest.skip('only root can')
    gate, stays = fifo('gate'), {**TRACES, **NEEDS_ROOT}[name][1]
    before = runners.state(isolation)
    if isolation not in shared.baseline:
        # Whatever comes first is not like what comes later: it imports.
        before = runners.state(isolation)
        shared.baseline[isolation] = before['state']
    done = probe(runners, name, isolation, gate)
    assert done.err == b''
    assert done.rc == 0
    after = runners.state(isolation)
    assert before['state'] == shared.baseline[isolation]
    assert after['state'] == before['state']
    if isolation == 'fork':
        assert after['pid'] != before['pid']
    elif stays is not None:
        assert (after['pid'] == before['pid']) is stays, done.left
    if name in ('child', 'child of nobody'):
        child = done.value['child']
        assert leaks.alive(child)
        with open(gate, 'w'):
            pass
        leaks.wait_until(lambda: not leaks.alive(child), 'the end of the child')


def test_inline_stays_in_one_process(runners):
    runners.state('inline')
    assert len({runners.state('inline')['pid'] for _ in range(5)}) == 1


def test_fork_takes_a_new_process_each_time(runners):
    assert len({runners.state('fork')['pid'] for _ in range(5)}) == 5


def test_a_module_that_takes_the_protocol_away(runners):
    """Writes to every descriptor that it was not given: at worst its own call fails."""
    code = ('for n in range(3, 60):\n  try:\n    os.write(n, b"\\xff" * 100)\n  except OSError:\n    pass')
    for isolation in ('fork', 'inline'):
        with contextlib.suppress(MitosisError):
            runners.probe(code, isolation=isolation)
        assert runners.state(isolation)['state']['umask'] >= 0


@pytest.mark.parametrize('isolation', ['fork', 'inline'])
def test_the_end_of_a_call_ends_nothing_of_an_earlier_one(runners, shared, fifo, isolation: str):
    """What a module leaves running belongs to nobody: not even to a later call in the same interpreter."""
    gate = fifo('gate')
    child = probe(runners, 'child of nobody', isolation, gate).value['child']
    client = shared.engine.connect()
    runners.start('os.kill(os.getpid(), signal.SIGSTOP)', isolation=isolation, client=client)
    client.close()  # nobody waits for it any more
    runners.state(isolation)
    assert leaks.alive(child)
    with open(gate, 'w'):
        pass
    leaks.wait_until(lambda: not leaks.alive(child), 'the end of the child')


@pytest.mark.parametrize('isolation', ['fork', 'inline'])
def test_a_selector_without_files_does_not_wait(runners, shared, isolation: str):
    """As ansible-core's run_command has one, if its command ends at the wrong moment."""
    code = ('selectors = getattr(basic, "selectors", None)\n'
            'for name in ("PollSelector", "SelectSelector"):\n'
            '  if selectors:\n'
            '    assert getattr(selectors, name)().select(None) == []\n'
            '    r, w = os.pipe(); os.close(w); s = getattr(selectors, name)(); s.register(r, selectors.EVENT_READ)\n'
            '    assert [key.fd for key, mask in s.select(None)] == [r]; os.close(r)\n'
            'result["there"] = bool(selectors)')
    assert runners.probe(code, isolation=isolation).value['there'] is (shared.interpreter.version[0] > 2)
