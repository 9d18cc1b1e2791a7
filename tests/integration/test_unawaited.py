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


# An answer that is no choice ends the lane in which others are on their way.
FOLDERS = '''
- name: there
  file: path=/tmp/there state=directory
- name: into it
  copy:
    src: one
    dest: "/tmp/there{{ item }}"
  loop: [/1, /2, '', /4, /5, '', /7, /8, /9, '']
  ignore_errors: true
- name: again
  copy:
    src: "{{ 'one' if item in ['/2', '/5'] else 'two' }}"
    dest: "/tmp/there{{ item }}"
  loop: ['', /2, /3, /4, /5, '', '', /8, /9]
  ignore_errors: true
- name: without pipelining
  copy:
    content: "{{ item }}"
    dest: "/tmp/there/{{ item }}"
  loop: [1, 2, 2, 3]
  vars:
    ansible_pipelining: false
- name: a stat of one's own
  copy:
    src: two
    dest: /tmp/there/own
- name: found
  shell: cd /tmp/there; for file in *; do echo $file $(cat $file); done; rm -r /tmp/there
'''
OWN_STAT = '''#!/bin/sh
# WANT_JSON
echo '{"changed": false, "stat": {"exists": true, "isdir": false, "checksum": "d0941e68da8f38151ff86a61fc59f7c5cf9fcaa2"}}'
'''


@pytest.mark.parametrize('own', [False, True])
def test_answers_that_are_no_choice(control: Control, stock: Control, own: bool):
    found = []
    for each in (stock, control):
        for name in ('one', 'two'):
            (each.folder / name).write_text(name)
        if own:
            (each.folder / 'library').mkdir()
            (each.folder / 'library/stat').write_text(OWN_STAT)
        done = each.tasks(FOLDERS)
        assert done.code == 0, str(done)
        found.append([(record['task'], record['result'].get('changed'), record['result'].get('msg'),
                       record['result'].get('stdout')) for record in done.records])
    assert found[0] == found[1]


def test_a_pipe_is_not_read_ahead(control: Control):
    """Whoever writes to it waits for whoever reads all of it."""
    done = control.tasks(f'''
- shell: mkfifo /tmp/pipe; (setsid sh -c 'echo one >/tmp/pipe; rm /tmp/pipe' >/dev/null 2>&1 &)
- name: it
  fetch:
    src: /tmp/pipe
    dest: {control.folder}/fetched
    flat: true
''')
    assert done.code == 0, str(done)
    assert (control.folder / 'fetched').read_text() == 'one\n'


def test_a_folder_within_its_time(control: Control):
    """Files that a task had no time for are not copied."""
    (control.folder / 'many').mkdir()
    for name in '123456':
        (control.folder / 'many' / name).write_text(name)
    done = control.tasks(f'''
- name: it
  copy:
    src: {control.folder}/many/
    dest: /tmp/many/
    validate: sh -c 'sleep 3; test -f %s'
  timeout: 5
  ignore_errors: true
- name: found
  shell: ls /tmp/many; rm -r /tmp/many
''')
    # until 2.20, and after
    message = results(done, 'it')[0]['result']['msg']
    assert 'expected time frame' in message or 'Timed out' in message
    assert len(results(done, 'found')[0]['result']['stdout_lines']) == 1


def test_a_folder_over_another(control: Control, stock: Control):
    """A file of it is where a folder is: the lane of the others ends, and they are copied nevertheless."""
    found = []
    for each in (stock, control):
        source = each.folder / 'many'
        source.mkdir()
        for name in 'abcdef':
            (source / name).write_bytes(name.encode() * (100 << 10 if name in 'bdf' else 10))
        done = each.tasks(f'''
- shell: mkdir -p /tmp/over/a /tmp/over/c/c /tmp/over/e
- name: it
  copy:
    src: {source}/
    dest: /tmp/over/
  ignore_errors: true
- name: found
  shell: cd /tmp/over; find . | sort; find . -type f | sort | xargs md5sum; rm -r /tmp/over
''')
        assert done.code == 0, str(done)
        found.append([results(done, 'it')[0]['result'].get('failed'), results(done, 'found')[0]['result']['stdout']])
    assert found[0] == found[1]
