"""To import any module of ours does nothing but that: no network, no process, no file but compiled code."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tests.support.sources import ROOT, python_files

# Runs in a process of its own, where nothing was imported yet: a folder that may be written to, then modules.
IMPORT = '''
import importlib, os, sys
sys.path.insert(0, os.getcwd())
ours, names = sys.argv[1], sys.argv[2:]
if names[0].startswith('plugins'):
    from tests.support import collection
    load = collection.load
    load('plugins')
else:
    load = importlib.import_module
NEVER = ('socket.', 'subprocess.', 'os.fork', 'os.exec', 'os.posix_spawn', 'os.spawn', 'os.system', 'os.kill',
         'os.remove', 'os.chmod', 'os.chown', 'http.', 'urllib.')
def hook(event, args):
    written = event == 'open' and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR) and not str(args[0]).startswith(ours)
    if event.startswith(NEVER) or written:
        raise SystemExit('%s while %s is imported: %.200r' % (event, name, args))
sys.addaudithook(hook)
for name in names:
    load(name)
NEVER = ()  # Ansible tidies up at its end
print(len(names))
'''
CORE, PLUGINS = python_files(ROOT / 'mitogen_core'), python_files(ROOT / 'plugins')


def module(path: pathlib.Path) -> str:
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def imported(tmp_path: pathlib.Path, names: list[str], script: str = IMPORT) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    (tmp_path / 'local').mkdir()
    (tmp_path / 'ansible.cfg').touch()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(('ANSIBLE_', 'MITOSIS_'))}
    environ.update(ANSIBLE_HOME=str(tmp_path), ANSIBLE_LOCAL_TEMP=str(tmp_path / 'local'),
                   ANSIBLE_CONFIG=str(tmp_path / 'ansible.cfg'))
    done = subprocess.run([sys.executable, '-B', '-c', script, str(tmp_path), *names], cwd=ROOT, env=environ,
                          timeout=60, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize('paths', [CORE, PLUGINS], ids=['core', 'plugins'])
def test_imports(paths: list[pathlib.Path], tmp_path: pathlib.Path):
    names = [module(path) for path in paths]
    assert len(names) > 20
    assert imported(tmp_path, names) == (0, f'{len(names)}\n', '')


@pytest.mark.parametrize('line', ['import socket; socket.socket()', 'import os; os.fork()', 'open("x", "w")',
                                  'import socket; socket.getaddrinfo("localhost", 1)', 'import os; os.system("true")',
                                  'import subprocess; subprocess.run(["true"])'])
def test_it_would_be_seen(line: str, tmp_path: pathlib.Path):
    script = IMPORT.replace('    load(name)\n', f'    {line}\n')
    code, _, err = imported(tmp_path, ['mitogen_core'], script)
    assert code and 'while mitogen_core is imported' in err
