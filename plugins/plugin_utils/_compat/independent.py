"""Can a template's value have changed since, if only earlier items of its loop ran meanwhile?  Where that is not
certain, it can.

A template may use names that are known not to change, and filters, tests and methods that look at nothing but their
arguments: those of jinja2 and of ansible-core, 2.16-2.21.  `_original_path`, where PluginLoader found one: 2.16-2.21.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import ansible.plugins
import jinja2
from ansible.errors import AnsibleError
from ansible.plugins.loader import filter_loader, test_loader
from jinja2 import meta, nodes

PLUGINS = os.path.dirname(os.path.abspath(str(ansible.plugins.__file__))) + os.sep

FILTERS = frozenset((
    'abs', 'b64decode', 'b64encode', 'basename', 'batch', 'bool', 'capitalize', 'center', 'checksum', 'combinations',
    'combine', 'comment', 'count', 'd', 'default', 'dict2items', 'dictsort', 'difference', 'dirname', 'e', 'escape',
    'extract', 'filesizeformat', 'first', 'flatten', 'float', 'forceescape', 'format', 'from_json', 'from_yaml',
    'groupby', 'hash', 'human_readable', 'human_to_bytes', 'indent', 'int', 'intersect', 'items', 'items2dict', 'join',
    'last', 'length', 'list', 'log', 'lower', 'mandatory', 'map', 'max', 'md5', 'min', 'path_join', 'permutations',
    'pow', 'product', 'quote', 'regex_escape', 'regex_findall', 'regex_replace', 'regex_search', 'reject', 'rejectattr',
    'replace', 'reverse', 'root', 'round', 'safe', 'select', 'selectattr', 'sha1', 'slice', 'sort', 'split', 'splitext',
    'string', 'striptags', 'subelements', 'sum', 'symmetric_difference', 'ternary', 'title', 'to_json', 'to_nice_json',
    'to_nice_yaml', 'to_uuid', 'to_yaml', 'trim', 'truncate', 'type_debug', 'union', 'unique', 'upper', 'urldecode',
    'urlencode', 'urlsplit', 'wordcount', 'wordwrap', 'zip', 'zip_longest'))
TESTS = frozenset((
    'all', 'any', 'boolean', 'callable', 'changed', 'contains', 'defined', 'divisibleby', 'eq', 'equalto', 'escaped',
    'even', 'failed', 'failure', 'falsy', 'false', 'filter', 'float', 'ge', 'greaterthan', 'gt', 'in', 'integer',
    'iterable', 'le', 'lessthan', 'lower', 'lt', 'mapping', 'match', 'nan', 'ne', 'none', 'number', 'odd', 'regex',
    'sameas', 'search', 'sequence', 'skip', 'skipped', 'string', 'subset', 'succeeded', 'success', 'superset', 'test',
    'true', 'truthy', 'undefined', 'upper', 'version', 'version_compare', '==', '!=', '<', '<=', '>', '>='))
# Of text, lists and dictionaries; none that changes them.
METHODS = frozenset((
    'capitalize', 'center', 'count', 'endswith', 'find', 'format', 'get', 'index', 'isalnum', 'isalpha', 'isdigit',
    'items', 'join', 'keys', 'ljust', 'lower', 'lstrip', 'partition', 'replace', 'rfind', 'rjust', 'rpartition',
    'rsplit', 'rstrip', 'split', 'splitlines', 'startswith', 'strip', 'swapcase', 'title', 'upper', 'values', 'zfill'))
# Names of Jinja and Ansible that are no variables.
NAMES = frozenset(('omit', 'range', 'true', 'false', 'none', 'True', 'False', 'None'))
GLOBALS = frozenset(('cycler', 'dict', 'finalize', 'hostvars', 'joiner', 'lipsum', 'lookup', 'namespace', 'now', 'q',
                     'query', 'undef', 'vars'))
# What vaulted variables are, until 2.18 and after.
ENCRYPTED = ('AnsibleVaultEncryptedUnicode', 'EncryptedString')
# Filters and tests that apply another one, which is their first argument.
_BY_NAME: dict[str, frozenset[str]] = {'map': FILTERS, 'select': TESTS, 'reject': TESTS}
_BY_NAME_SECOND = ('selectattr', 'rejectattr')
_TEMPLATE = ('{{', '{%', '{#')


def is_template(text: str) -> bool:
    """May it be one?  A line at its start can give templates other marks."""
    return any(mark in text for mark in _TEMPLATE) or text.startswith('#jinja2:')


class Independence:
    """`variables`: as templates see them.  `free`: names whose values are an item's own.  `others`: may other
    variables be used?  `changing`: names that an earlier item gives a value."""

    def __init__(self, variables: Any, free: frozenset[str], changing: frozenset[str] = frozenset(),
                 others: bool = True) -> None:
        self._variables, self._free, self._changing, self._others = variables, free, changing, others
        self._known: dict[str, bool] = {}

    def of(self, value: Any) -> bool:
        """Is all of `value`, with the templates in it, independent?"""
        if value is None or isinstance(value, (bool, int, float, bytes)):
            return True
        if isinstance(value, str):
            return not is_template(value) or self._names(_used(str.__str__(value)))
        if isinstance(value, dict):
            return all(self.of(key) and self.of(item) for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return all(self.of(item) for item in value)
        return type(value).__name__ in ENCRYPTED and self.of(str(value))

    def condition(self, value: Any) -> bool:
        """Is a condition, or each of a list, independent?"""
        if isinstance(value, (list, tuple)):
            return all(self.condition(one) for one in value)
        if isinstance(value, str):
            return self._names(_used('{{ %s }}' % str.__str__(value)))
        return value is None or isinstance(value, bool)

    def _names(self, names: frozenset[str] | None) -> bool:
        return names is not None and all(self._name(name) for name in names)

    def _name(self, name: str) -> bool:
        if name in self._free or name in NAMES:
            return True
        if name in self._changing or name in GLOBALS or not self._others:
            return False
        if name not in self._known:
            self._known[name] = False  # unless it turns out otherwise: it may lead to itself
            self._known[name] = name not in self._variables or self.of(self._variables[name])
        return self._known[name]


@functools.cache
def _is_core(loader: Any, name: str) -> bool:
    """Is it not a plugin of the user's, of a name that ansible-core's or jinja2's has?"""
    try:
        found = loader.get(name)
    except (AnsibleError, KeyError):
        found = None
    path = str(getattr(found, '_original_path', None) or '')
    return not path or os.path.abspath(path).startswith(PLUGINS)


def _any(*args: Any, **kwargs: Any) -> Any:
    """It is never called."""


@functools.cache
def _parser() -> jinja2.Environment:
    parser = jinja2.Environment()  # nosec B701  # nothing is rendered by it
    parser.filters, parser.tests = dict.fromkeys(FILTERS, _any), dict.fromkeys(TESTS, _any)
    return parser


@functools.lru_cache(256)
def _used(text: str) -> frozenset[str] | None:
    """Names that a template uses; None where there is anything in it that is not known."""
    if text.startswith('#jinja2:'):
        return None
    try:
        tree = _parser().parse(text)
        pure = all(map(_is_pure, tree.find_all(nodes.Node)))
        return frozenset(meta.find_undeclared_variables(tree)) if pure else None
    except (jinja2.TemplateError, RecursionError):
        return None


def _is_pure(node: nodes.Node) -> bool:
    if isinstance(node, (nodes.Filter, nodes.Test)):
        known, loader = (FILTERS, filter_loader) if isinstance(node, nodes.Filter) else (TESTS, test_loader)
        if node.name not in known or not _is_core(loader, node.name):
            return False
        names = _BY_NAME.get(node.name, TESTS if node.name in _BY_NAME_SECOND else None)
        arguments = node.args[node.name in _BY_NAME_SECOND:]
        if node.dyn_args or node.dyn_kwargs:
            return False
        return not names or not arguments or (isinstance(arguments[0], nodes.Const) and arguments[0].value in names)
    if isinstance(node, nodes.Call):
        called = node.node
        return (isinstance(called, nodes.Getattr) and called.attr in METHODS) \
            or (isinstance(called, nodes.Name) and called.name == 'range')
    if isinstance(node, nodes.Const):  # from 2.19 on templates in texts of expressions are templates
        return not isinstance(node.value, str) or not is_template(node.value)
    if isinstance(node, nodes.Name):
        return node.name not in ('caller', 'self', 'super')
    return not isinstance(node, (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.CallBlock,
                                 nodes.ExprStmt, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier))
