"""Many hosts in one worker: they wait together, a worker that dies costs those who were in it, and nothing else changes."""

from __future__ import annotations

import json
import pathlib
import random
from collections.abc import Iterator

import pytest

from tests.integration.support.compare import aligned, by_host
from tests.integration.support.control import ALL, Control, Core
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(400)
STRATEGIES = ('linear', 'free', 'host_pinned')
# Filters run in the worker's process.
FILTERS = '''
import os
import signal


class FilterModule:
    def filters(self):
        return {'end_worker': end_worker, 'worker': lambda text: os.getpid()}


def end_worker(text, how):
    if how == 'exit':
        os._exit(3)
    if how == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    return text
'''
# Of hosts: no multiple of the number of workers.
NUMBER = 7


@pytest.fixture
def control(core: Core, hosts: Hosts, tmp_path: pathlib.Path) -> Iterator[Control]:
    """Of strategies alone."""
    control = Control(core, 'strategy', hosts, tmp_path)
    yield control
    assert control.leftovers() == []


@pytest.fixture
def names(control: Control, hosts: Hosts) -> list[str]:
    """Names of the first host, which are all of the group `names`."""
    found = [f'n{number}' for number in range(NUMBER)]
    lines = [f'{name} ansible_host={hosts.addresses["t1"]} number={number}' for number, name in enumerate(found)]
    variables = hosts.inventory.read_text().partition('[targets:vars]')[2]
    control.add_inventory('names.ini', '\n'.join(['[names]', *lines, '[names:vars]']) + variables)
    folder = control.folder / 'filter_plugins'
    folder.mkdir()
    (folder / 'filters.py').write_text(FILTERS)
    return found


def results(finished, task: str) -> dict[str, dict]:
    return {record['host']: record for record in finished.records if record['task'] == task}


@pytest.mark.parametrize('workers', [1, 2])
@pytest.mark.parametrize('strategy', STRATEGIES)
def test_hosts_of_a_worker_wait_together(control: Control, names: list[str], strategy: str, workers: int):
    """Each command ends when all of them run."""
    done = control.tasks(f'''
- name: worker
  debug:
    msg: "{{{{ '' | worker }}}}"
- name: meet
  shell: mkdir /tmp/meet.{{{{ number }}}}; until [ $(ls -d /tmp/meet.* | wc -l) = {NUMBER} ]; do sleep 0.05; done
- name: again
  shell: cd /tmp/meet.{{{{ number }}}} && touch went
''', hosts='names', env={'ANSIBLE_STRATEGY': f'mitosis.express.{strategy}', 'ANSIBLE_FORKS': str(NUMBER),
                             'MITOSIS_WORKERS': str(workers)})
    assert done.code == 0, str(done)
    # Not by the play: who meets late would miss those who have gone on.
    assert control.tasks('- shell: rm -r /tmp/meet.*/went && rmdir /tmp/meet.*').code == 0
    pids = {record['result']['msg'] for record in results(done, 'worker').values()}
    assert len(results(done, 'again')) == NUMBER
    assert len(pids) == workers or strategy != 'linear'


@pytest.mark.parametrize('strategy', STRATEGIES[:2])
@pytest.mark.parametrize('forks', [1, 3])
def test_no_more_at_a_time_than_forks(control: Control, names: list[str], forks: int, strategy: str):
    done = control.tasks('''
- name: count
  shell: mkdir /tmp/count.{{ number }}; ls -d /tmp/count.* | wc -l; sleep 0.3; rmdir /tmp/count.{{ number }}
''', hosts='names', env={'ANSIBLE_FORKS': str(forks), 'MITOSIS_WORKERS': '2',
                         'ANSIBLE_STRATEGY': f'mitosis.express.{strategy}'})
    assert done.code == 0, str(done)
    assert max(int(record['result']['stdout']) for record in results(done, 'count').values()) == forks


@pytest.mark.parametrize('how', ['exit', 'kill'])
def test_a_worker_that_dies(control: Control, names: list[str], how: str):
    done = control.tasks(f'''
- name: one ends its worker
  debug:
    msg: "{{{{ 'fine' | end_worker('{how}' if number == 2 else '') }}}}"
- name: next
  command: echo next
''', hosts='names', env={'ANSIBLE_FORKS': '1'})
    assert done.code == 2, str(done)
    first, second = results(done, 'one ends its worker'), results(done, 'next')
    assert sorted(first) == names
    assert {name for name, record in first.items() if record['event'] != 'ok'} == {'n2'} == set(names) - set(second)
    assert 'The worker process died while it ran this task on this host' in first['n2']['result']['msg']
    assert 'the worker of n2 died' in done.err


def test_workers(control: Control, names: list[str]):
    """By the option, and by variables."""
    task = '- name: worker\n  debug:\n    msg: "{{ \'\' | worker }}"'
    for wished, number in (('1', 1), ('2', 2), ('4', 4), ('stock', NUMBER)):
        for env, more in (({'MITOSIS_WORKERS': wished}, ()),
                          ({'MITOSIS_WORKERS': '5'}, ('-e', f'mitosis_workers={wished}'))):
            done = control.tasks(task, *more, hosts='names', env={**env, 'ANSIBLE_FORKS': '10'})
            assert done.code == 0, str(done)
            assert len({record['result']['msg'] for record in results(done, 'worker').values()}) == number


MODULES = (
    lambda r: {'debug': {'msg': 'm{{ number }} {{ x | default(0) }}'}},
    lambda r: {'command': f'echo {r.random()} {{{{ number }}}}'},
    lambda r: {'shell': 'echo $NAME; exit {{ 3 if number == 1 else 0 }}'},
    lambda r: {'set_fact': {'x': '{{ (x | default(0) | int) + number }}', 'cacheable': r.random() < 0.3}},
    lambda r: {'assert': {'that': f'number != {r.randrange(9)}'}},
    lambda r: {'stat': {'path': '/etc'}},
    lambda r: {'add_host': {'name': 'new{{ number }}', 'x': '{{ number }}'}},
    lambda r: {'group_by': {'key': 'by_{{ number % 2 }}'}},
    lambda r: {'set_stats': {'data': {'x': 1}}},
    lambda r: {'fail': {'msg': 'no'}},
    lambda r: {'debug': {'msg': "{{ hostvars['n0'].x | default('no') }} {{ groups | length }}"}},
    lambda r: {'include_tasks': {'file': 'more.yml'}},
    lambda r: {'import_tasks': 'more.yml'},
    lambda r: {'meta': r.choice(['noop', 'flush_handlers', 'clear_facts'])},
)
WORDS = (
    ('when', lambda r: r.choice(['number != 2', 'x is defined', 'r is defined and r is success', 'undefined_word'])),
    ('register', lambda r: 'r'), ('ignore_errors', lambda r: True), ('changed_when', lambda r: 'number == 3'),
    ('failed_when', lambda r: 'number == 4'), ('vars', lambda r: {'x': '{{ number }}'}), ('no_log', lambda r: True),
    ('loop', lambda r: ['a', '{{ number }}']), ('environment', lambda r: {'NAME': 'n{{ number }}'}),
    ('become', lambda r: True), ('check_mode', lambda r: True), ('notify', lambda r: 'told'), ('tags', lambda r: ['x']),
    ('run_once', lambda r: True), ('throttle', lambda r: 2), ('timeout', lambda r: 30), ('diff', lambda r: True),
    ('delegate_to', lambda r: r.choice(['n1', 'localhost', "{{ groups['names'][0] }}"])),
    ('delegate_facts', lambda r: True),
    ('until', lambda r: 'true'), ('any_errors_fatal', lambda r: r.random() < 0.2), ('ignore_unreachable', lambda r: True),
    ('with_dict', lambda r: {'k': '{{ number }}'}), ('become_user', lambda r: 'm_target'),
)
# What some take; others take all.
KNOWN = {'block': ('when', 'vars', 'ignore_errors', 'become', 'environment'), 'meta': ('when',),
         'import_tasks': ('when', 'vars', 'tags'), 'include_tasks': ('when', 'loop', 'vars', 'tags')}


# What hosts see of each other, or stops them together: with `free`, no two runs are alike then.
TOGETHER = {'add_host', 'group_by', 'hostvars', 'any_errors_fatal', 'run_once', 'delegate_facts'}


def tasks(r: random.Random, number: int, lockstep: bool, depth: int = 0) -> list[dict]:
    """Random tasks and blocks; each has up to three words that it may have."""
    found = []
    for n in range(number):
        if depth < 2 and r.random() < 0.2:
            kind = 'block'
            task = {key: tasks(r, 2, lockstep, depth + 1) for key in ('block', 'rescue', 'always')
                    if key == 'block' or r.random() < 0.6}
        else:
            task = r.choice(MODULES)(r)
            while not lockstep and any(word in str(task) for word in TOGETHER):
                task = r.choice(MODULES)(r)
            kind = next(iter(task))
        words = [word for word in WORDS if word[0] in KNOWN.get(kind, dict(WORDS))
                 and (lockstep or word[0] not in TOGETHER)]
        task.update({word: value(r) for word, value in r.sample(words, min(r.randrange(4), len(words)))})
        if not lockstep and task.get('when') == 'undefined_word':  # an include ends the play by it
            del task['when']
        if 'loop' in task and 'with_dict' in task:
            del task['loop']
        found.append({'name': f'{depth}.{n} {r.randrange(10 ** 6)}', **task})
    return found


@pytest.mark.parametrize('seed', range(40 if ALL else 3))
def test_random_plays(control: Control, stock: Control, names: list[str], hosts: Hosts, seed: int):
    """Whatever the words: the same results in the same order for each host, stock and in shared workers."""
    r = random.Random(seed)
    strategy = r.choice(STRATEGIES)
    handler = {'name': 'told', 'command': 'echo told {{ number }}', 'register': 'h'}
    play = {'hosts': 'names', 'gather_facts': False, 'tasks': tasks(r, 12, strategy == 'linear'), 'handlers': [handler],
            **({'serial': 4} if r.random() < 0.2 else {})}
    found = []
    # What a task shows of the play's hosts depends, with stock's forks, on who has failed by then: it is not asked for.
    for each, prefix in ((stock, ''), (control, 'mitosis.express.')):
        if each is stock:
            each.add_inventory('names.ini', (control.folder / 'names.ini').read_text())
        path = each.folder / 'play.yml'
        path.write_text(json.dumps([play]))
        (each.folder / 'more.yml').write_text(json.dumps([{'name': 'more', 'debug': {'msg': 'more {{ number }}'}}]))
        found.append(each.playbook(path, env={'ANSIBLE_STRATEGY': prefix + strategy, 'ANSIBLE_FORKS': '4'}))
    left, right = found
    assert left.code == right.code, f'{json.dumps(play, indent=1)}\n{left}\n{right}'
    own = [(str(folder), 'FOLDER') for folder in (stock.folder, control.folder)]
    one, two = by_host(left.records, own), by_host(right.records, own)
    differences = [f'{host}: {line}' for host in sorted({*one, *two})
                   for line in aligned(one.get(host, []), two.get(host, []))]
    # Whoever is the first on this host is told so.
    differences = [line for line in differences if 'did not exist and was created with a mode of' not in line]
    assert not differences, '\n'.join([*differences, json.dumps(play, indent=1)])


def test_the_generator_makes_plays(tmp_path: pathlib.Path):
    seen = json.dumps([tasks(random.Random(seed), 12, True) for seed in range(40)])
    assert all(f'"{word}"' in seen for word, _ in WORDS)
