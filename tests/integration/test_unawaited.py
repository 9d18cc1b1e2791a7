"""Requests that are not waited for, where something goes wrong behind them: docs/decisions/0015-not-waited-for.md."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.integration.support.control import Control, Core
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(400)
# Ends the broker that it is a child of.
ENDS = '''#!/bin/sh
pid=$$
until tr '\\0' ' ' </proc/$pid/cmdline | grep -q binascii; do pid=$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' /proc/$pid/stat); done
kill -9 $pid
sleep 1
'''
USES_ITS_FOLDER = '''#!/usr/bin/python
import os, tempfile, time
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({'note': {'type': 'str'}})
time.sleep(3)
try:
    text = os.path.basename(os.path.dirname(tempfile.mkstemp(dir=module.tmpdir)[1]))
except OSError as e:
    text = str(e)
with open(module.params['note'], 'w') as file:
    file.write(text)
module.exit_json()
'''


@pytest.fixture
def control(core: Core, way: str, hosts: Hosts, tmp_path: pathlib.Path) -> Iterator[Control]:
    control = Control(core, way, hosts, tmp_path)
    yield control
    assert control.leftovers() == []


def results(done, name: str) -> list[dict]:
    return [record for record in done.records if record['task'] == name]


def test_the_link_ends(control: Control):
    """No answer is waited for that can not come any more."""
    (control.folder / 'ends.sh').write_text(ENDS)
    done = control.tasks('''
- name: ends
  script: ends.sh
  ignore_unreachable: true
  ignore_errors: true
- name: next
  command: echo next
''')
    assert done.code == 0, str(done)
    assert 'Lost the connection' in results(done, 'ends')[0]['result']['msg']
    assert results(done, 'next')[0]['result']['stdout'] == 'next'


def test_templates_are_rendered_as_often_as_by_stock(control: Control, stock: Control):
    """Where their folder can not be made, where the target's answers are others, and where all is well."""
    counts = []
    for each in (stock, control):
        note = each.folder / 'rendered'
        note.write_text('')
        (each.folder / 'it.j2').write_text("{{ lookup('pipe', 'echo x >>%s; echo text') }}" % note)
        for folder in ('/proc/nowhere', '/tmp/once', '/dev/full/x'):
            done = each.tasks(f'''
- name: it
  template:
    src: it.j2
    dest: /tmp/it
  vars:
    ansible_remote_tmp: {folder}
  ignore_errors: true
  ignore_unreachable: true
- file:
    path: "{{{{ item }}}}"
    state: absent
  loop: [/tmp/it, /tmp/once]
''')
            assert results(done, 'it'), str(done)
        counts.append(note.read_text())
    assert counts[0] == counts[1]


def test_a_job_keeps_its_folder(control: Control):
    """After the run that started it."""
    (control.folder / 'library').mkdir()
    (control.folder / 'library/uses_its_folder.py').write_text(USES_ITS_FOLDER)
    done = control.tasks('''
- uses_its_folder:
    note: /tmp/its-folder
  async: 60
  poll: 0
''')
    assert done.code == 0, str(done)
    done = control.tasks('''
- name: what it found
  shell: until test -s /tmp/its-folder; do sleep 0.1; done; cat /tmp/its-folder; rm /tmp/its-folder
''')
    assert results(done, 'what it found')[0]['result']['stdout'].startswith('ansible-')
