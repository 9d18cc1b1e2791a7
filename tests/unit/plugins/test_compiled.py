"""Templates are compiled once for many hosts, and mean the same."""

from __future__ import annotations

import jinja2
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import collection

core = collection.load('plugins.plugin_utils._compat')
compiled = collection.load('plugins.plugin_utils._compat.compiled')
rehearsal = collection.load('plugins.plugin_utils._compat.rehearsal')
trusted = rehearsal.trust_as_template


if core.core_version() < (2, 19):
    pytest.skip('up to 2.18 nothing is shared: jinja2 runs filters as it compiles', allow_module_level=True)


class Own(jinja2.Environment):
    pass


@pytest.fixture
def count(monkeypatch):
    """How often something was compiled."""
    seen = []
    real = jinja2.Environment._generate
    monkeypatch.setattr(jinja2.Environment, '_generate',
                        lambda self, *args, **kwargs: seen.append(1) or real(self, *args, **kwargs))
    monkeypatch.setattr(jinja2.Environment, 'compile', jinja2.Environment.compile)
    monkeypatch.setattr(jinja2.Environment, 'compile_expression', jinja2.Environment.compile_expression)
    compiled.share_compiled(Own)
    return seen


def template(text, **variables):
    return Templar(loader=DataLoader(), variables=variables).template(trusted(text))


def test_once_for_all_hosts(count):
    assert [template('a {{ x + 1 }}', x=n) for n in range(5)] == [f'a {n + 1}' for n in range(5)]
    assert len(count) == 1
    assert template('b {{ x + 1 }}', x=1) == 'b 2' and len(count) == 2


def test_expressions_once(count):
    expressions = [Own().compile_expression('x > 1') for _ in range(3)]
    assert [expression(x=n) for n, expression in enumerate(expressions)] == [False, False, True]
    assert len(count) == 1


def test_others_environments_are_theirs(count):
    for _ in range(2):
        assert jinja2.Environment().from_string('{{ x }}').render(x=1) == '1'
        assert jinja2.Environment().compile_expression('x')(x=1) == 1
    assert len(count) == 4


def test_an_error_is_one_each_time(count):
    environment = Own()
    for _ in range(2):
        with pytest.raises(jinja2.TemplateSyntaxError):
            environment.compile_expression('x >')
        with pytest.raises(jinja2.TemplateSyntaxError):
            environment.from_string('{{ x')
    # The failure leaves nothing to be taken for something else.
    tree = environment.parse('{{ 7 }}')
    assert environment.from_string(tree).render() == '7'
    with pytest.raises(jinja2.TemplateSyntaxError):
        environment.compile_expression('x >')


def test_an_expression_is_no_template(count):
    environment = Own()
    assert environment.from_string('x').render(x=1) == 'x' and environment.compile_expression('x')(x=1) == 1
    assert environment.from_string('x').render(x=1) == 'x' and environment.compile_expression('x')(x=2) == 2


@pytest.mark.parametrize('override', [
    {'variable_start_string': '[[', 'variable_end_string': ']]'}, {'trim_blocks': True}, {'lstrip_blocks': True},
    {'keep_trailing_newline': True}, {'newline_sequence': '\r\n'}, {'extensions': ['jinja2.ext.do']},
    {'comment_start_string': '<#', 'comment_end_string': '#>'},
    {'line_statement_prefix': '%'}, {'block_start_string': '<%', 'block_end_string': '%>'},
])
def test_settings_make_a_difference(count, override):
    text = '{# c #}<# d #>{{ x }}[[ x ]]\n  {% if x %}\n% set y = 1\n{{ "<" }}{% endif %}\n<% if x %>\n'

    def render(**settings):
        try:
            return Own(**settings).from_string(text).render(x='<')
        except jinja2.TemplateSyntaxError as e:
            return str(e)
    before = len(count)
    first, other = render(), render(**override)
    assert len(count) == before + 2 or 'expected' in other or 'nknown tag' in other
    assert render() == first and render(**override) == other


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([
    '{{ x }}', '{{ x | string }}{{ x }}', '{% for i in range(x) %}{{ i }}{% endfor %}', '{{ "\\n" ~ x }}', '{{ x ',
    "{{ 'a' if x else y }}", '{% set x = x + 1 %}{{ x }}', '{{ "{{ x }}" }}', 'x', '{{ undefined_name | default(x) }}',
]), st.integers(0, 3)), max_size=12))
def test_as_without(count, uses):
    def all_of():
        found = []
        for text, x in uses:
            try:
                found.append(template(text, x=x, y='no'))
            except Exception as e:
                found.append((type(e), str(e)))
        return found
    shared = all_of()
    kept = jinja2.Environment.compile, jinja2.Environment.compile_expression
    try:
        jinja2.Environment.compile, jinja2.Environment.compile_expression = ORIGINAL
        assert all_of() == shared
    finally:
        jinja2.Environment.compile, jinja2.Environment.compile_expression = kept


ORIGINAL = jinja2.Environment.compile, jinja2.Environment.compile_expression
