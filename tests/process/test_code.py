"""Forwarded code: sent once, passed on by contexts on the way; functions and logs from it."""

from __future__ import annotations

import pytest

from mitogen_core.wire.constants import ROOT
from mitogen_core.wire.errors import CallError
from tests.support import leaks, standin
from tests.support.engine import Closure, Engine, boot_argv, login
from tests.support.interpreters import Interpreter
from tests.support.standin import CLOSURE, PROBE_NAME, Runners

FUNCTIONS = Closure({'tools/__init__.py': '', 'tools/work.py': '''
import logging
import os


def add(a, b=0):
    return {u'sum': a + b, u'pid': os.getpid(), u'name': u'' + __name__}


def echo(value):
    return value


def fail(text):
    raise ValueError(text)


def leave(code):
    raise SystemExit(code)


def unsendable():
    return object()


def talk(text):
    logging.getLogger('tools').warning('%s', text)
    logging.getLogger('tools').debug('never sent')
    logging.info('information')
'''})


def test_code_is_sent_once(engine: Engine, edge: Interpreter):
    context = engine.local(edge.path)
    runners = Runners(engine, context)
    assert runners.probe('').rc == 0
    sent = link_bytes(engine)
    for _ in range(5):
        assert runners.probe('').rc == 0
    each = (link_bytes(engine) - sent) / 5
    big = standin.closure(ansible__module_utils__extra='# %s\n' % ('x' * 200000), ansible__modules__one='''
from ansible.module_utils import basic
basic.AnsibleModule().exit_json()
''')
    engine.define(big)
    assert engine.run(context, big, 'ansible.modules.one', {}).rc == 0
    assert each < 2000, f'{each} bytes for each run of a module that is there'


def link_bytes(engine: Engine) -> int:
    """Bytes that the broker has read and written: /proc counts them for each process."""
    pid = engine.status()['contexts'][0]['pid']
    with open(f'/proc/{pid}/io') as lines:
        return int(dict(line.split(': ') for line in lines)['rchar'])


def test_a_new_client_needs_to_send_nothing(engine: Engine, edge: Interpreter):
    Runners(engine, engine.local(edge.path))
    other = engine.connect()
    missing, _ = other.call(ROOT, 'modules', 'define', {
        'payload': 'another name', 'closure': CLOSURE.digest, 'digests': list(CLOSURE.files)}, CLOSURE.listing,
        timeout=30)
    assert missing == []
    other.close()


def test_unknown_payload_and_context(engine: Engine, edge: Interpreter):
    context = engine.local(edge.path)
    with pytest.raises(CallError) as caught:
        engine.run(context, CLOSURE, PROBE_NAME, {'code': ''})
    assert caught.value.kind == 'need-code'


def test_a_child_is_served_by_its_parent(engine: Engine, interpreter: Interpreter):
    """GET_MODULE goes one hop up, where the code already is: the controller is not asked, and a runner gets it too."""
    outer = login('outer', boot_argv(interpreter.path))
    ids, _ = engine.get(outer, login('inner', boot_argv(interpreter.path)))
    first, second = (Runners(engine, context) for context in ids)
    pids = {first.probe('').value['pid'], second.probe('').value['pid'], second.probe('').value['pid']}
    assert len(pids) == 3
    assert second.probe('from ansible.module_utils.extra import VALUE; result["v"] = VALUE').value['v'] == 'extra'
    assert 'no use for' not in engine.logged()


def test_a_child_with_another_python(engine: Engine):
    from tests.support import interpreters
    oldest, newest = interpreters.found()[0], interpreters.newest()
    ids, hellos = engine.get(login('outer', boot_argv(newest.path)), login('inner', boot_argv(oldest.path)))
    assert [tuple(hello['python'][:2]) for hello in hellos] == [newest.version, oldest.version]
    code = 'result["version"] = sys.version_info[:2]'
    assert [tuple(Runners(engine, context).probe(code).value['version']) for context in ids] == [
        newest.version, oldest.version]


def test_call_function(shared):
    call = shared.engine.call_function
    value = call(shared.context, FUNCTIONS, 'tools.work:add', 2, b=3)['value']
    assert (value['sum'], value['name']) == (5, 'tools.work')
    assert leaks.process(value['pid']) is None or value['pid'] != shared.engine.pid_of(shared.context)
    tree = {'text': 'w\u00e9', 'bytes': b'\0\xff', 'list': [1, None, True, 1.5, [2 ** 40]]}
    assert call(shared.context, FUNCTIONS, 'tools.work:echo', tree)['value'] == tree


def test_call_function_that_fails(shared):
    with pytest.raises(CallError) as caught:
        shared.engine.call_function(shared.context, FUNCTIONS, 'tools.work:fail', 'too bad')
    assert caught.value.kind == 'ValueError'
    lines = caught.value.text.splitlines()
    assert lines[0] == 'Traceback (most recent call last):'
    assert lines[-1] == 'ValueError: too bad'
    assert any('tools/work.py' in line and ' in fail' in line for line in lines)


@pytest.mark.parametrize(('function', 'kind'), [('tools.nothing:add', 'ImportError'),
                                               ('tools.work:nothing', 'AttributeError')])
def test_call_function_that_is_not_there(shared, function: str, kind: str):
    with pytest.raises(CallError) as caught:
        shared.engine.call_function(shared.context, FUNCTIONS, function)
    assert caught.value.kind in (kind, 'ModuleNotFoundError')


def test_call_function_with_a_value_that_can_not_be_sent(shared):
    with pytest.raises(CallError, match='a message may not hold object') as caught:
        shared.engine.call_function(shared.context, FUNCTIONS, 'tools.work:unsendable')
    assert caught.value.kind == 'ProtocolError'
    assert shared.engine.call_function(shared.context, FUNCTIONS, 'tools.work:echo', 1)['value'] == 1


def test_call_function_that_leaves(shared):
    assert shared.engine.call_function(shared.context, FUNCTIONS, 'tools.work:leave', 4)['rc'] == 4


def test_logs_travel(shared):
    text = f'hello from {shared.interpreter}\nsecond line \x1b[31m'
    shared.engine.call_function(shared.context, FUNCTIONS, 'tools.work:talk', text)
    expected = f'WARNING local tools: hello from {shared.interpreter}\\nsecond line \\x1b[31m\n'
    leaks.wait_until(lambda: expected in shared.engine.logged(), 'the record in the log')
    assert 'INFO local root: information\n' in shared.engine.logged()
    assert 'never sent' not in shared.engine.logged()
    assert shared.engine.log.stat().st_mode & 0o777 == 0o600
