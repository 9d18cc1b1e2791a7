"""`mitosis_live`: what a task prints is there while it runs, on stderr, and nothing else is changed."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

import pytest

from tests.integration.keywords.table import EVERYWHERE
from tests.integration.support.compare import by_host, differences
from tests.integration.support.control import Control
from tests.integration.support.hosts import Hosts, wait_for

pytestmark = pytest.mark.timeout(300)
SECONDS = 90
GATE = '/tmp/live-gate'
SECRET = 'the-secret'

# Each kind of task prints, waits for the gate, and prints again.
SCRIPT = f'''#!/bin/sh
echo begins $1; printf 'part'; echo errors >&2; printf '\\033[31mred\\033[0m\\r'
while [ ! -e {GATE} ]; do sleep 0.1; done
echo ends; printf 'no newline'
'''
TASKS = {
    'shell': 'shell: sh /tmp/live-script word',
    'command': 'command: sh /tmp/live-script word',
    'script': 'script: {script} word',
    'raw': 'raw: sh /tmp/live-script word',
}


@pytest.fixture
def script(network: Hosts, tmp_path: pathlib.Path) -> Iterator[str]:
    """The script, here and on t1."""
    here = tmp_path / 'live-script'
    here.write_text(SCRIPT)
    here.chmod(0o755)
    there = network.root('t1') / 'tmp/live-script'
    there.write_text(SCRIPT)
    there.chmod(0o755)
    gate = network.root('t1') / GATE.lstrip('/')
    yield str(here)
    there.unlink()
    gate.unlink(missing_ok=True)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if ' | ' in line]


def open_gate(hosts: Hosts) -> None:
    (hosts.root('t1') / GATE.lstrip('/')).touch()


@pytest.mark.parametrize('kind', TASKS)
def test_lines_appear_while_the_task_runs(control: Control, stock: Control, network: Hosts, script: str, kind: str):
    task = TASKS[kind].format(script=script)
    play = control.folder / 'live.yml'
    play.write_text(f'- hosts: t1\n  gather_facts: false\n  tasks:\n    - name: live\n      {task}\n      vars:\n'
                    f'        mitosis_live: true\n    - command: echo another\n')
    run = control.start('ansible-playbook', play)
    try:
        err = control.folder / 'stderr'
        assert wait_for(lambda: 't1 | begins word' in err.read_text(), SECONDS), err.read_text()
        assert 'ends' not in err.read_text() and not control.recorded()
    finally:
        open_gate(network)
        finished = run.wait(SECONDS)
    assert finished.code == 0, finished
    expected = ['begins word', 'partred', 'ends', 'no newline', 'errors']
    found = [line.partition(' | ')[2] for line in lines(finished.err)]
    # With a terminal there is one stream only.
    assert sorted(found) == sorted(expected) or (kind in ('raw', 'script') and 'errors' in ''.join(found)), finished.err
    assert 't1 | ' not in finished.out and 'another' not in finished.err
    other = stock.playbook(play)
    assert [re.sub(r'^mitosis: .*', '', line) for line in finished.out.splitlines() if not line.startswith('mitosis:')] \
        == other.out.splitlines()
    found = differences(by_host(other.records, []), by_host(finished.records, []))
    assert not [line for line in found if not any(re.search(pattern, line) for pattern in EVERYWHERE)]


def test_where_it_is_not_wanted(control: Control, network: Hosts):
    done = control.tasks(f'''
- command: echo off
- command: echo hidden
  no_log: true
  vars: {{mitosis_live: true}}
- command: echo async
  async: 20
  poll: 1
  vars: {{mitosis_live: true}}
- copy: {{content: x, dest: /tmp/live-file}}
  vars: {{mitosis_live: true}}
- file: {{path: /tmp/live-file, state: absent}}
- kinds_runs:
    word: on {SECRET}
    secret: "{SECRET}"
  vars: {{mitosis_live: true}}
''', env={'ANSIBLE_LIBRARY': str(pathlib.Path(__file__).parent / 'kinds' / 'library')})
    assert done.code == 0, done
    assert [line for line in lines(done.err) if not line.startswith('[')] == ['t1 | on ********']
    assert SECRET not in done.err


def test_large_copies_tell_how_far_they_are(control: Control, network: Hosts, tmp_path: pathlib.Path):
    large = tmp_path / 'large'
    with large.open('wb') as file:
        file.truncate(100 << 20)
    done = control.tasks(f'''
- copy: {{src: {large}, dest: /tmp/live-large}}
- fetch: {{src: /tmp/live-large, dest: {tmp_path}/fetched, flat: true}}
- file: {{path: /tmp/live-large, state: absent}}
''', env={'MITOSIS_LIVE': 'true'})
    assert done.code == 0, done
    assert [line for line in lines(done.err) if line.startswith(f't1 | {large}: ')] == [
        f't1 | {large}: {n} of 100 MiB' for n in range(10, 101, 10)]
    assert f't1 | /tmp/live-large: {8} MiB' in done.err
    assert os.path.getsize(tmp_path / 'fetched') == 100 << 20
