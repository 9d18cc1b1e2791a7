"""Templates that an earlier item of a loop may have changed, and those that it can not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import collection

independent = collection.load('plugins.plugin_utils._compat.independent')
VARIABLES = {
    'plain': 'text', 'number': 3, 'nested': {'list': ['a', {'b': None}]}, 'by_item': 'x {{ item }}',
    'by_result': '{{ result.stdout }}', 'by_two': ['{{ by_one }}'], 'by_one': '{{ by_result }}',
    'itself': '{{ itself }}',
    'looks': "{{ lookup('env', 'HOME') }}", 'object': object(), 'part': '{{ plain }}/{{ nested.list[0] }}'}


def check(others: bool = True):
    return independent.Independence(VARIABLES, frozenset(('item', 'index')), frozenset(('result',)), others)


@pytest.mark.parametrize('text', [
    'no template', '{{ item }}', '{{ item.name }}-{{ index + 1 }}', '{{ plain }}', '{{ part }}', '{{ by_item }}',
    '{{ nested.list[1].b | default("none") }}', '{{ unknown | default(item) }}', '{% if item %}a{% else %}b{% endif %}',
    '{% for x in nested.list %}{{ x }}{{ loop.index }}{% endfor %}', '{{ item.split(",") | map("upper") | join }}',
    '{{ [item] | select("match", "a") | list }}', '{{ nested.list | selectattr("b", "defined") | list }}',
    '{{ item is defined and item not in [1, 2] }}', '{{ omit }}', '{{ range(3) | list }}',
    '{{ "a" ~ item if item else omit }}',
    '{{ item | regex_replace("a", "b") | quote }}', '{% set x = item %}{{ x }}'])
def test_independent(text: str):
    assert check().of(text)


@pytest.mark.parametrize('text', [
    '{{ result }}', '{{ by_result }}', '{{ by_two }}', '{{ looks }}', '{{ itself }}', '{{ object }}',
    '{{ lookup("file", item) }}', '{{ q("env", "A") }}', '{{ vars["result"] }}', '{{ vars }}', '{{ hostvars[item] }}',
    '{{ now() }}', '{{ item | random }}', '{{ item | fileglob }}', '{{ item is file }}', '{{ item is exists }}',
    '{{ item | some.collection.filter }}', '{{ nested.list.append(item) }}', '{{ item | map("random") | list }}',
    '{{ item | map(plain) | list }}', '{{ item | select(plain) | list }}', '{{ plain(item) }}', '{{ cycler(1, 2) }}',
    '{% include "x" %}', '{% import "x" as y %}', '{{ broken', '{% do x %}', '{{ item | select(*item) }}',
    '{{ item | selectattr("a", "file") | list }}',
    '{{ item.__class__() }}', "#jinja2: x:'y'\\n{{ item }}", '{{ "{{ result }}" }}', '{{ self }}', '{{ [1].pop() }}'])
def test_dependent(text: str):
    assert not check().of(text)
    assert not check().of({'a': ['b', text]})
    assert not check().of({text: 1})


def test_only_its_own():
    """Where anything else may have changed."""
    assert check(False).of('{{ item }} {{ omit }} plain')
    assert not check(False).of('{{ plain }}')
    assert not check(False).of('{{ unknown | default(1) }}')


@pytest.mark.parametrize(('condition', 'expected'), [
    ('item > 2', True), (['item is odd', 'plain == "x"'], True), (True, True), (None, True), ('result is changed',
    False),
    (['item', 'by_result'], False), ('lookup("env", "A")', False), ('{{ item }}', False), ('item ==', False), (3.5,
    False)])
def test_conditions(condition, expected: bool):
    assert check().condition(condition) is expected


def test_kinds():
    assert check().of(None) and check().of([1, 2.5, True, b'{{ result }}'])
    assert not check().of(object())


NAMES = st.sampled_from(['item', 'index', 'plain', 'nested', 'part', 'result', 'by_result', 'looks', 'vars'])


@given(st.lists(NAMES, min_size=1, max_size=4), st.sampled_from(['{{{{ {0} }}}}', '{{{{ [{0}] | join(",") }}}}',
                                                                 '{{% if {0} %}}x{{% endif %}}',
                                                                 '{{{{ {0} is defined }}}}']))
def test_one_that_may_change_is_enough(names, pattern: str):
    bad = {'result', 'by_result', 'looks', 'vars'}
    text = ' '.join(pattern.format(name) for name in names)
    assert check().of(text) is not bool(bad & set(names))
