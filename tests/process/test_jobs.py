"""Detached contexts: they outlive their runner, their broker and their tree, and whoever asks learns how they stand."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from mitogen_core.controller.jobs import FOLDER, Job
from mitogen_core.controller.tree import Context, Tree
from mitogen_core.wire.errors import CallError
from tests.support import leaks, remote_functions
from tests.support.engine import SECONDS
from tests.support.interpreters import Interpreter
from tests.support.standin import Runners


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.delenv('ANSIBLE_ASYNC_DIR', raising=False)
    return tmp_path


@pytest.fixture
def tree(home: pathlib.Path) -> Iterator[Tree]:
    with Tree() as made:
        yield made


@pytest.fixture
def context(tree: Tree, edge: Interpreter) -> Context:
    return tree.local(edge.path)


def outcome(job: Job, forget: bool = True):
    """The result, once the job is over."""
    found = []

    def over() -> bool:
        try:
            found.append(job.result(forget).result(SECONDS))
        except CallError as e:
            if e.kind == 'running':
                return False
            found.append(e)
        return True
    leaks.wait_until(over, f'the end of {job}')
    return found[0]


def pid_of(job: Job) -> int:
    with pytest.raises(CallError, match='is still running') as caught:
        job.result().result(SECONDS)
    return int(re.search(r'pid (\d+)', caught.value.text)[1])


def folder(home: pathlib.Path) -> list[str]:
    return os.listdir(home / FOLDER[2:])


def test_a_function(context: Context, home: pathlib.Path):
    job = context.detach(SECONDS, remote_functions.same, {'a': [b'x', None]})
    assert pathlib.Path(job.path).parent == home / FOLDER[2:]
    assert outcome(job, forget=False) == {'a': [b'x', None]}
    assert outcome(job) == {'a': [b'x', None]}
    assert folder(home) == []
    with pytest.raises(CallError, match='No such file') as caught:
        job.result().result(SECONDS)
    assert caught.value.kind == 'os'


def test_it_outlives_its_runner_and_its_broker(context: Context, tree: Tree, edge: Interpreter, fifo):
    here, go = fifo('here'), fifo('go')
    job = context.detach(SECONDS, remote_functions.meet, here, go)
    with open(here, 'rb', 0) as file:
        assert file.read(1)
    for runner in tree.connection.service(context.id, 'status', 'status', {}).result(SECONDS)[0]['runners']:
        os.kill(runner['pid'], signal.SIGKILL)
    os.kill(context.pid, signal.SIGKILL)
    leaks.wait_until(lambda: not tree.status()['contexts'], 'the end of the context')
    again = tree.local(edge.path).job(job.path)
    assert again.context.pid != context.pid
    assert os.getsid(pid_of(again)) != os.getsid(0)
    with open(go, 'wb'):
        pass
    assert outcome(again) == b''


def test_it_outlives_its_tree(home: pathlib.Path, edge: Interpreter, fifo):
    here, go = fifo('here'), fifo('go')
    with Tree() as tree:
        path = tree.local(edge.path).detach(SECONDS, remote_functions.meet, here, go).path
        with open(here, 'rb', 0) as file:
            assert file.read(1)
    with open(go, 'wb'):
        pass
    with Tree() as tree:
        assert outcome(tree.local(edge.path).job(path)) == b''


def test_killed(context: Context):
    job = context.detach(SECONDS, remote_functions.forever)
    pid = pid_of(job)
    # As an orderly reboot would: the process of the job and what it executes.
    subprocess.run(['pkill', '-KILL', '-s', str(os.getsid(pid))], check=True, timeout=SECONDS)
    found = outcome(job)
    assert (found.kind, found.text) == ('died', 'the process of the job was killed')


def test_too_long(context: Context):
    found = outcome(context.detach(0.1, remote_functions.forever))
    assert (found.kind, found.text) == ('timeout', 'the job took too long')


def test_failures(context: Context):
    found = outcome(context.detach(SECONDS, remote_functions.fail, 'a word'))
    assert found.kind == 'KeyError' and 'raise KeyError(word)' in found.text
    assert 'may not hold' in outcome(context.detach(SECONDS, remote_functions.strange)).text


def test_no_folder(context: Context, home: pathlib.Path):
    (home / FOLDER[2:]).write_text('a file')
    with pytest.raises(CallError, match=r'\.ansible_async/m\w+\.\d+: Not a directory|File exists') as caught:
        context.detach(SECONDS, remote_functions.same, 1)
    assert caught.value.kind == 'os'
    assert context.call(remote_functions.same, 1).result(SECONDS) == 1


class Modules:
    """Module runs that leave a job's file."""

    def __init__(self, runners: Runners, base: pathlib.Path) -> None:
        self.runners, self.base = runners, base
        self.number = 0

    def begin(self, code: str, seconds: float = SECONDS, env: dict[str, str] | None = None):
        self.number += 1
        self.remove = self.base / f'remove{self.number}'
        self.remove.mkdir()
        job = {'id': f'j{self.number}', 'seconds': seconds, 'words': [0, 1], 'cmd': 'python module',
               'remove': str(self.remove)}
        return self.runners.probe(code, job=job, env={'ANSIBLE_ASYNC_DIR': str(self.base / 'jobs'), **(env or {})})

    def run(self, code: str, **more):
        said = self.begin(code, **more).value
        path = pathlib.Path(said['results_file'])
        leaks.wait_until(lambda: 'started' not in json.loads(path.read_text()), 'the end of a job')
        leaks.wait_until(lambda: not self.remove.exists(), 'the end of its folder')
        return json.loads(path.read_text())


@pytest.fixture
def modules(shared, tmp_path: pathlib.Path) -> Modules:
    return Modules(Runners(shared.engine, shared.context), tmp_path)


def test_a_module(modules: Modules, tmp_path: pathlib.Path):
    """What it answers, and where it runs."""
    said = modules.begin('result["wait"] = sys.stdin.read()').value
    number = said.pop('ansible_job_id')
    assert re.fullmatch(r'j1\.\d+', number)
    assert said == {'started': 1, 'finished': 0, 'failed': 0, 'results_file': str(tmp_path / 'jobs' / number),
                    '_ansible_suppress_tmpdir_delete': True}
    found = modules.run('mask = os.umask(0)\nresult.update(mask=mask, sid=os.getsid(0), env=os.environ["X"])\n'
                        'sys.stderr.write("said")', env={'X': 'y'})
    del found['pid']
    assert found.pop('sid') != os.getsid(0)
    assert found == {'mask': 0o22, 'stderr': 'said', 'env': 'y'}


@pytest.mark.parametrize(('code', 'expected'), [
    ('print("noise")', {}),
    ('print("{}\\ntrailing"); os._exit(0)', {'warnings': [
        'Module invocation had junk after the JSON data: trailing']}),
    ('print("{\\"warnings\\": \\"own\\"}\\ntrailing"); os._exit(0)', {'warnings': [
        'own', 'Module invocation had junk after the JSON data: trailing']}),
    ('os._exit(3)', {'failed': 1, 'cmd': 'python module', 'data': '', 'stderr': '', 'ansible_job_id': '*',
                     'msg': '*'}),
    ('os.kill(os.getpid(), 9)', {'failed': 1}),
    ('raise ValueError("so")', {'failed': 1}),
])
def test_what_modules_print(modules: Modules, code: str, expected: dict):
    found = modules.run(code)
    for key, value in expected.items():
        assert found[key] == value or value == '*'
    assert 'failed' not in found or 'ValueError: No start of json char found' in found['msg']
    assert ('pid' in found) == (code == 'print("noise")')


def test_a_module_that_takes_too_long(modules: Modules):
    found = modules.run('import time; time.sleep(1000)', seconds=0.1)
    assert found.pop('child_pid')
    assert found == {'msg': 'Timeout exceeded', 'failed': True}


def test_many_at_a_time(modules: Modules):
    """One runner starts all of them, one after the other."""
    def count() -> int:
        status = modules.runners.engine.client.call(modules.runners.context, 'status', 'status', {}, timeout=SECONDS)[0]
        return len(status['runners'])
    modules.begin('result["n"] = 1')
    before = count()
    assert len({modules.begin('result["n"] = 1').value['ansible_job_id'] for _ in range(20)}) == 20
    assert count() == before


def test_no_folder_for_a_module(modules: Modules, tmp_path: pathlib.Path):
    (tmp_path / 'file').write_text('')
    done = modules.begin('pass', env={'ANSIBLE_ASYNC_DIR': str(tmp_path / 'file' / 'below')})
    assert done.rc == 1
    assert json.loads(done.out)['msg'].startswith(f'could not create directory: {tmp_path}/file/below - ')
