"""Runs integration targets as `ansible-test integration` does - same play, environment, setup targets and work tree -
but with `testhost` always reached by ssh, and in one of several ways.  Ansible is not patched: a way is a line of
configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from typing import IO

from .targets import PLACE, Target, unpack

# ansible-test puts this into the path of every work tree.
UNICODE_SUFFIX = '-\u00c5\u00d1\u015a\u00cc\u03b2\u0141\u00c8'
# Marks the processes of a run.
MARKER = 'MITOSIS_CONFORMANCE_RUN'
SECONDS = 600.0
FIXED = {
    'LC_ALL': 'C.UTF-8', 'PAGER': '/bin/cat', 'ANSIBLE_CALLBACKS_ENABLED': 'junit',
    'ANSIBLE_DEPRECATION_WARNINGS': 'false', 'ANSIBLE_DEVEL_WARNING': 'false', 'ANSIBLE_DISPLAY_TRACEBACK': 'never',
    'ANSIBLE_FORCE_COLOR': 'false', 'ANSIBLE_FORCE_HANDLERS': 'true', 'ANSIBLE_HOST_KEY_CHECKING': 'false',
    'ANSIBLE_HOST_PATTERN_MISMATCH': 'error', 'ANSIBLE_INVENTORY': '/dev/null',
    'ANSIBLE_INVENTORY_PLUGIN_EXTS': '.yaml, .yml, .json, .winrm, .networking', 'ANSIBLE_LIBRARY': '/dev/null',
    'ANSIBLE_PYTHON_INTERPRETER': '/set/ansible_python_interpreter/in/inventory',
    'ANSIBLE_PYTHON_MODULE_RLIMIT_NOFILE': '1024', 'ANSIBLE_RETRY_FILES_ENABLED': 'false',
    'ANSIBLE_TEST_CI': '', 'ANSIBLE_TEST_COVERAGE': '', 'ANSIBLE_WORKER_SHUTDOWN_POLL_COUNT': '100',
    'ANSIBLE_WORKER_SHUTDOWN_POLL_DELAY': '0.1', 'JUNIT_REPLACE_OUT_OF_TREE_PATH': 'out-of-tree:',
}
PASSED_ON = re.compile(r'HOME|LD_LIBRARY_PATH|SSH_AUTH_SOCK|PIP_\w+|(https?|no)_proxy', re.I)


@dataclasses.dataclass(frozen=True)
class Way:
    """How the targets are run: stock, or one of our ways in."""

    name: str
    connection: str = 'ssh'
    environment: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.name


WAYS = {way.name: way for way in (
    Way('stock'),
    # In the environment, since some targets bring an ansible.cfg of their own.
    Way('strategy', environment=(('ANSIBLE_STRATEGY', 'mitosis.express.linear'),)),
    Way('connection', connection='mitosis.express.ssh'),
)}


@dataclasses.dataclass(frozen=True)
class SshHost:
    """Where `testhost` is.  It shares the controller's file system, which many targets take for granted."""

    address: str
    port: str
    key: str
    python: str
    arguments: str = '-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'


@dataclasses.dataclass
class Result:
    """Outcome of one target in one way; `reason` is empty where it passed."""

    seconds: float
    reason: str
    log: pathlib.Path

    def tail(self, lines: int = 60) -> str:
        return '\n'.join(self.log.read_text(encoding='utf-8', errors='replace').splitlines()[-lines:])


class Core:
    """The ansible-core of a virtual environment."""

    def __init__(self, venv: pathlib.Path) -> None:
        code = ('import json, sysconfig, ansible.release as r; '
                'print(json.dumps([sysconfig.get_path("purelib"), r.__version__, sysconfig.get_python_version()]))')
        done = subprocess.run([venv / 'bin/python', '-c', code], capture_output=True, text=True, check=True)
        packages, self.version, self.python_version = json.loads(done.stdout)
        self.venv, self.packages = venv, pathlib.Path(packages)


class Harness:
    """A scratch folder with the unpacked sdist, and what ansible-test would put on the paths."""

    def __init__(self, core: Core, sdist: pathlib.Path, collections: pathlib.Path, host: SshHost,
                 work: pathlib.Path, seconds: float = SECONDS) -> None:
        self.core, self.collections, self.host, self.work, self.seconds = core, collections, host, work, seconds
        self.source = work / 'src'
        self.output = work / 'output_dir'
        self.marker = uuid.uuid4().hex
        for name in ('src', 'logs', 'pythonpath', 'junit', 'cp'):
            (work / name).mkdir(parents=True)
        work.chmod(0o755)  # targets become other users, who must reach their files
        unpack(sdist, self.source)
        self._make_paths()

    def _make_paths(self) -> None:
        version = self.core.version
        (self.work / 'pythonpath/ansible').symlink_to(self.core.packages / 'ansible')
        info = self.work / f'pythonpath/ansible_core-{version}.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: ansible-core\nVersion: {version}\n')
        injector = self.work / 'injector'
        shutil.copytree(self.core.packages / 'ansible_test/_util/target/injector', injector,
                        ignore=shutil.ignore_patterns('__pycache__'))
        script = injector / 'python.py'
        script.write_text('#!/usr/bin/env python\n' + script.read_text(encoding='utf-8').split('\n', 1)[1],
                          encoding='utf-8')
        script.chmod(0o755)
        for name in ('importer.py', 'pytest'):
            (injector / name).symlink_to('python.py')

    def target(self, name: str) -> Target:
        return Target(self.source / PLACE, name)

    def run(self, name: str, way: Way) -> Result:
        """Run a target, after its setup targets."""
        target, started = self.target(name), time.monotonic()
        home, there = pathlib.Path.home(), set(os.listdir(pathlib.Path.home()))
        path = self.work / 'logs' / f'{name}-{way}.log'
        reason = ''
        with path.open('wb') as log:
            for stage in [*map(self.target, target.setup_targets), target]:
                code = self._run_stage(stage, way, log, started + self.seconds)
                if code:
                    reason = f'{stage.name} ended with {code}'
                elif code is None:
                    reason = f'not over after {self.seconds:.0f} s'
                if reason:
                    break
        for each in set(os.listdir(home)) - there:
            # Where relative paths lead to on a target: the next way must find it as this one did.
            subprocess.run(['rm', '-rf', home / each], check=True)
        return Result(time.monotonic() - started, reason, path)

    def _run_stage(self, target: Target, way: Way, log: IO[bytes], deadline: float) -> int | None:
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir()
        suffix = '-ansible' if 'no/temp_unicode' in target.aliases else UNICODE_SUFFIX
        tree = pathlib.Path(tempfile.mkdtemp(prefix=f'{target.name}-', suffix=suffix, dir=self.work))
        tree.chmod(0o755)
        try:
            self._populate(tree, target, way)
            integration = tree / PLACE.parent
            if target.is_script:
                cwd, command = tree / PLACE / target.name, ['./runme.sh']
            else:
                cwd = integration
                play = {'hosts': 'testhost', 'gather_facts': 'gather_facts/no' not in target.aliases,
                        'vars_files': [], 'vars': {'output_dir': str(self.output)}, 'roles': [target.name]}
                playbook = integration / f'{target.name}-play.yml'
                playbook.write_text(json.dumps([play], indent=4), encoding='utf-8')
                command = [str(self.core.venv / 'bin/ansible-playbook'), playbook.name, '-i', 'inventory']
            return self._execute(command, self._environment(tree, target, way, cwd), cwd, log, deadline)
        finally:
            shutil.rmtree(tree, ignore_errors=True)

    def _populate(self, tree: pathlib.Path, target: Target, way: Way) -> None:
        """Copy a target, those that it depends on, and the files that they need."""
        pending, done = {target.name}, set[str]()
        while pending:
            name = pending.pop()
            done.add(name)
            each = self.target(name)
            shutil.copytree(each.path, tree / PLACE / name, symlinks=True)
            pending |= each.dependencies() - done
            for needed in each.values('needs/file/'):
                if (self.source / needed).is_file():
                    (tree / needed).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(self.source / needed, tree / needed)
        host = self.host
        variables = {
            'ansible_connection': way.connection, 'ansible_host': host.address, 'ansible_port': host.port,
            'ansible_user': 'root', 'ansible_ssh_private_key_file': host.key,
            'ansible_ssh_common_args': host.arguments, 'ansible_python_interpreter': host.python}
        (tree / PLACE.parent / 'inventory').write_text(
            json.dumps({'testgroup': {'hosts': {'testhost': variables}}}) + '\n', encoding='utf-8')
        (tree / PLACE.parent / 'integration.cfg').write_text('[ssh_connection]\npipelining=False\n')

    def _environment(self, tree: pathlib.Path, target: Target, way: Way, cwd: pathlib.Path) -> dict[str, str]:
        core, source = self.core, self.source
        environ = {key: value for key, value in os.environ.items() if PASSED_ON.fullmatch(key)} | FIXED
        path = [self.work / 'injector', core.venv / 'bin', os.environ.get('PATH', os.defpath)]
        environ |= {
            'PATH': os.pathsep.join(map(str, path)),
            'PYTHONPATH': f'{self.work}/pythonpath:{self.collections}',
            'ANSIBLE_CONFIG': f'{tree}/{PLACE.parent}/integration.cfg',
            'ANSIBLE_PLAYBOOK_DIR': str(cwd), 'ANSIBLE_SSH_CONTROL_PATH_DIR': f'{self.work}/cp',
            'ANSIBLE_TEST_ANSIBLE_LIB_ROOT': str(core.packages / 'ansible'),
            'ANSIBLE_TEST_ANSIBLE_VERSION': core.version,
            'ANSIBLE_TEST_PYTHON_INTERPRETER': str(core.venv / 'bin/python'),
            'ANSIBLE_TEST_PYTHON_VERSION': core.python_version,
            'INVENTORY_PATH': f'{tree}/{PLACE.parent}/inventory', 'JUNIT_OUTPUT_DIR': f'{self.work}/junit',
            'JUNIT_TASK_RELATIVE_PATH': str(tree), 'OUTPUT_DIR': str(self.output), MARKER: self.marker}
        if (collections := source / 'test/support/integration/collections').is_dir():
            environ['ANSIBLE_COLLECTIONS_PATH'] = str(collections)
        if (modules := source / 'test/support/integration/plugins/modules').is_dir():
            environ['ANSIBLE_LIBRARY'] = str(modules)
        if not target.is_script:
            environ['ANSIBLE_ROLES_PATH'] = str(tree / PLACE)
        if 'needs/ssh' in target.aliases:  # ansible-test sees to it that `ssh localhost` works; this is the closest
            environ |= {'ANSIBLE_PRIVATE_KEY_FILE': self.host.key, 'ANSIBLE_REMOTE_PORT': self.host.port,
                        'ANSIBLE_REMOTE_USER': 'root', 'ANSIBLE_SSH_COMMON_ARGS': self.host.arguments}
        if 'non_local' in target.aliases:
            environ['ANSIBLE_TEST_REMOTE_INTERPRETER'] = ''
        return environ | target.environment | dict(way.environment)

    def _execute(self, command: list[str], environ: dict[str, str], cwd: pathlib.Path, log: IO[bytes],
                 deadline: float) -> int | None:
        """The exit status of a command, or None if it was not over in time."""
        process = subprocess.Popen(command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        finally:
            for signum, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
                if process.poll() is None:
                    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                        os.killpg(process.pid, signum)
                        process.wait(seconds)
            self._end_rest()

    def _end_rest(self) -> None:
        """End what a command left behind, such as ssh's masters."""
        mark = f'{MARKER}={self.marker}'.encode()
        for entry in pathlib.Path('/proc').iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if mark in (entry / 'environ').read_bytes().split(b'\0'):
                        os.kill(int(entry.name), signal.SIGKILL)
