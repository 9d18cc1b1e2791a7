"""Loops: whatever their items use of each other, the same results, the same order, the same things done on the host."""

from __future__ import annotations

import json
import pathlib
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.support.compare import aligned, by_host
from tests.integration.support.control import ALL, Control, Core
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(400)
FOLDER = '/tmp/random-loops'
# docs/differences.md; and what whoever is the first on a host is told.
ALLOWED = ('did not exist and was created with a mode of', 'Shared connection to ')
# What an item may use: itself, what does not change, what an earlier item or task left.
WORDS = ('{{ item }}', '{{ x }}', '{{ y }}', "{{ r.stdout | default('none') }}", "{{ z | default('none') }}",
         "{{ 'first' if r is not defined else 'later' }}", '{{ ansible_loop.index | default(0) }}', '{{ n | default(9) }}',
         '{{ item ~ x | upper }}', "{{ lookup('vars', 'x') }}", "{{ vars['x'] | default('') }}")
CONDITIONS = ('item != 2', "item == x or y != ''", 'r is not defined or r is not failed', 'true', "z is defined or item is odd",
              "(r.rc | default(0)) == 0", 'not_there')
TASKS = (
    lambda r: {'command': f'echo {r.choice(WORDS)} {r.choice(WORDS)}'},
    lambda r: {'shell': f'echo {r.choice(WORDS)} >>{FOLDER}/log; wc -l <{FOLDER}/log'},
    lambda r: {'shell': f'test {{{{ item }}}} != {r.randrange(5)} && echo {r.choice(WORDS)}'},
    lambda r: {'lineinfile': {'path': f'{FOLDER}/lines', 'line': r.choice(WORDS), 'create': True}},
    lambda r: {'file': {'path': f'{FOLDER}/{{{{ item }}}}', 'state': r.choice(['touch', 'absent', 'directory'])}},
    lambda r: {'stat': {'path': f'{FOLDER}/{{{{ item }}}}'}},
    lambda r: {'copy': {'dest': f'{FOLDER}/{{{{ item }}}}', 'content': r.choice(WORDS)}},
    lambda r: {'copy': {'dest': f'{FOLDER}/{r.choice(["same", "{{ item }}", ""])}', 'src': 'script.sh', 'mode': '0644'}},
    lambda r: {'template': {'dest': f'{FOLDER}/{r.choice(["same", "{{ item }}"])}', 'src': r.choice(['plain.j2', 'last.j2'])}},
    lambda r: {'raw': f'echo {r.choice(WORDS)} >>{FOLDER}/log; wc -l <{FOLDER}/log'},
    lambda r: {'fetch': {'src': f'{FOLDER}/{r.choice(["log", "{{ item }}"])}', 'flat': True,
                         'dest': f'{{{{ playbook_dir }}}}/{r.choice(["fetched", "{{ item }}"])}'}},
    lambda r: {'assemble': {'dest': f'{FOLDER}/{r.choice(["same", "{{ item }}"])}', 'src': '{{ playbook_dir }}/parts',
                            'remote_src': False}},
    lambda r: {'script': f'script.sh {r.choice(WORDS)}'},
    lambda r: {'set_fact': {'z': r.choice(WORDS)}},
    lambda r: {'debug': {'msg': r.choice(WORDS)}},
)
KEYWORDS = (
    ('register', lambda r: r.choice(['r', 'r', 'z'])), ('when', lambda r: r.choice(CONDITIONS)),
    ('changed_when', lambda r: r.choice(CONDITIONS)), ('failed_when', lambda r: r.choice(['false', 'item == 3', 'r is failed'])),
    ('ignore_errors', lambda r: True), ('environment', lambda r: {'A': r.choice(WORDS)}), ('become', lambda r: True),
    ('vars', lambda r: {'n': r.choice(WORDS)}), ('until', lambda r: 'true'), ('no_log', lambda r: True),
    ('check_mode', lambda r: True), ('diff', lambda r: True), ('notify', lambda r: 'told'),
)
CONTROLS = (
    ('index_var', lambda r: 'n'), ('extended', lambda r: True), ('label', lambda r: r.choice(WORDS)),
    ('pause', lambda r: 0.01),
)


def play(r: random.Random) -> dict[str, Any]:
    tasks: list[dict[str, Any]] = [{'file': {'path': FOLDER, 'state': 'directory'}}]
    for number in range(8):
        task = {'name': f'task {number}', **r.choice(TASKS)(r), 'ignore_errors': True}
        task['loop'] = r.choice([[1, 2, 3, 4], ['a', 'b', 2], '{{ range(6) | list }}', [1, 1], ['{{ x }}', '{{ y }}', 3]])
        task.update({word: make(r) for word, make in r.sample(KEYWORDS, r.randrange(4))})
        if 'set_fact' in task or 'debug' in task:
            task.pop('until', None)
        control = {word: make(r) for word, make in r.sample(CONTROLS, r.randrange(3))}
        if control:
            task['loop_control'] = control
        tasks.append(task)
    tasks += [{'name': 'what is there', 'shell': f'cd {FOLDER}; ls; cat log lines', 'ignore_errors': True},
              {'name': 'what is known', 'debug': {'msg': "{{ r.results | default([]) | map('dict2items') | map('length') | list }} "
                                                        "{{ z | default('no') | length }}"},
               'ignore_errors': True}]
    return {'hosts': 't1', 'gather_facts': False, 'tasks': tasks, 'vars': {'x': 'word', 'y': '{{ x }}/{{ n | default("") }}'},
            'handlers': [{'name': 'told', 'command': 'echo told'}]}


@pytest.fixture
def control(core: Core, way: str, hosts: Hosts, tmp_path: pathlib.Path) -> Iterator[Control]:
    control = Control(core, way, hosts, tmp_path)
    yield control
    assert control.leftovers() == []


@pytest.mark.parametrize('seed', range(40 if ALL else 4))
def test_random_loops(control: Control, stock: Control, seed: int):
    made = play(random.Random(seed))
    found = []
    for each in (stock, control):
        (each.folder / 'script.sh').write_text(f'#!/bin/sh\necho script $1 | tee -a {FOLDER}/log\n')
        (each.folder / 'parts').mkdir()
        for part in ('a', 'b'):
            (each.folder / 'parts' / part).write_text(f'{part}\n')
        (each.folder / 'plain.j2').write_text("{{ item }} {{ x }} {{ n | default('-') }}\n")
        (each.folder / 'last.j2').write_text("{{ item }} {{ r.changed | default('-') }} {{ z is defined }}\n")
        path = each.folder / 'play.yml'
        path.write_text(json.dumps([made]))
        found.append(each.playbook(path))
        # Some of these plays end ansible-playbook 2.16 with a traceback.
        assert control.tasks(f'- file: path={FOLDER} state=absent').code == 0
    left, right = found
    assert left.code == right.code, f'{json.dumps(made, indent=1)}\n{left}\n{right}'
    own = [(str(folder), 'FOLDER') for folder in (stock.folder, control.folder)]
    one, two = by_host(left.records, own), by_host(right.records, own)
    differences = [line for line in aligned(one.get('t1', []), two.get('t1', []))
                   if not any(text in line for text in ALLOWED)]
    assert not differences, '\n'.join([*differences, json.dumps(made, indent=1)])
