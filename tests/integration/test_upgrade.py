"""The collection is replaced in the middle of a run: by a play that updates its own controller, or by somebody beside it."""

from __future__ import annotations

import os
import pathlib
import re
import shutil

import pytest

from tests.integration.support.control import Control
from tests.integration.support.hosts import Hosts

PLAY = '''
- hosts: {host}
  gather_facts: false
  tasks:
    - name: before
      command: echo before
    - name: upgrade
      shell: rm -rf {old} && cp -R {new} {old}
      delegate_to: localhost
    - name: after
      command: echo after
    - name: a module that is new to the run
      copy:
        content: a copy
        dest: {copy}
    - name: loop
      command: echo {{{{ item }}}}
      loop: [1, 2, 3]
    - name: read
      slurp:
        src: {copy}
    - name: removal
      file:
        path: {copy}
        state: absent
'''


@pytest.fixture
def collections(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with this collection alone."""
    here = pathlib.Path(os.environ['MITOSIS_COLLECTIONS']) / 'ansible_collections' / 'mitosis'
    shutil.copytree(here, tmp_path / 'collections/ansible_collections/mitosis', ignore=shutil.ignore_patterns('__pycache__'))
    return tmp_path / 'collections'


@pytest.mark.parametrize('protocol', ['the same protocol', 'another protocol'])
def test_upgrade(control: Control, hosts: Hosts, collections: pathlib.Path, tmp_path: pathlib.Path, protocol: str) -> None:
    """Whoever is new finds no multiplexer that it can talk to, and starts one beside the old one."""
    old = collections / 'ansible_collections/mitosis/express'
    new = tmp_path / 'new'
    shutil.copytree(old, new)
    if protocol == 'another protocol':
        constants = new / 'mitogen_core/wire/constants.py'
        text, count = re.subn(r'(?m)^VERSION = \d+$', 'VERSION = 999', constants.read_text())
        assert count == 1
        constants.write_text(text)
    play = tmp_path / 'upgrade.yml'
    play.write_text(PLAY.format(host='t1', old=old, new=new, copy=f'/tmp/upgrade-{control.marker}'))
    done = control.playbook(play, env={'ANSIBLE_COLLECTIONS_PATH': str(collections)})
    assert done.code == 0, str(done)
    said = [record['result'].get('stdout') for record in done.records if record['task'] in ('before', 'after')]
    assert said == ['before', 'after'], str(done)
    assert 'WARNING' not in done.text and 'Traceback' not in done.text, str(done)
    if control.way == 'strategy':
        assert re.search(r'mitosis: (\d+) of \1 task runs accelerated', done.text), str(done)
