"""ansible-core's own code means the same without what only people read."""

from __future__ import annotations

import ast
import pathlib

import ansible
import pytest

from tests.support import collection

prose = collection.load('plugins.plugin_utils._compat.prose')

CORE = pathlib.Path(ansible.__file__).parent
DOCUMENTATION = ('DOCUMENTATION', 'EXAMPLES', 'RETURN')

TABLE = {
    'a docstring': (b'"""d"""\nx = 1\n', b'"."\nx = 1\n'),
    'over lines': (b"def f():\n    r'''a\n\n    b'''\n    return 1", b"def f():\n    r\".\"\n\n\n    return 1"),
    'a comment': (b'x = 1\n  # one\ny = 2  # two\n', b'x = 1\n\ny = 2  # two\n'),
    'an argument': (b'f(\n"""x"""\n)\n', None),
    'a value': (b'{1:\n"""x"""\n}\n', None),
    'a continued line': (b'x = \\\n"""x"""\n', None),
    'part of an expression': (b'"""x""".y\n"x" % 1\n"x"; y = 2\n', None),
    'bytes': (b'b"""x"""\n', None),
    'no comment': (b'x = "# no"\ny = """\n# no\n"""\nz = \'\'\'"""\n# no\'\'\'\n', None),
    'escaped': (b"x = 'it\\'s'\n# c\n", b"x = 'it\\'s'\n\n"),
    'an unfinished string': (b'x = "\n# one\n', b'x = "\n\n'),
    'its encoding': (b'#!/usr/bin/python\n# -*- coding: latin-1 -*-\n# coding=x\n', b'\n# -*- coding: latin-1 -*-\n\n'),
    'documentation': (b'DOCUMENTATION = r"""\nx\n"""\nX = """x"""\n', b'DOCUMENTATION = r"."\n\n\nX = """x"""\n'),
    'brackets in strings': (b'x = "(["\n"""d"""\n', b'x = "(["\n"."\n'),
    'nothing': (b'', None),
}


@pytest.mark.parametrize(('source', 'expected'), TABLE.values(), ids=TABLE)
def test_what_goes(source, expected):
    assert prose.without_prose(source) == (source if expected is None else expected)


def meaning(source: bytes) -> tuple[str, list[int]]:
    """What a file does, and on which lines."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, 'body', None)
        for each in body if isinstance(body, list) else ():
            if not isinstance(getattr(each, 'value', None), ast.Constant) or not isinstance(each.value.value, str):
                continue
            targets = getattr(each, 'targets', ())
            if isinstance(each, ast.Expr) or any(getattr(name, 'id', '') in DOCUMENTATION for name in targets):
                each.value.value = ''
    return ast.dump(tree), [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]


FILES = sorted(path for folder in ('modules', 'module_utils') for path in (CORE / folder).rglob('*.py'))


@pytest.mark.parametrize('folder', sorted({path.parent.relative_to(CORE) for path in FILES}), ids=str)
def test_all_of_ansible_core(folder):
    before = after = 0
    for path in (CORE / folder).glob('*.py'):
        source = path.read_bytes()
        found = prose.travelling(f'ansible/{path.relative_to(CORE)}', source)
        assert meaning(found) == meaning(source), path
        before, after = before + len(source), after + len(found)
    assert after < before or before < 100


def test_nothing_reads_it():
    for path in FILES:
        if path.parent.name == 'six':  # gives lazy modules a docstring, where they have none
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                assert node.id not in (*DOCUMENTATION, '__doc__'), path
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                assert node.attr not in (*DOCUMENTATION, '__doc__', 'getdoc', 'getcomments'), path


def test_only_what_is_ansible_cores_own():
    source = (CORE / 'module_utils' / 'basic.py').read_bytes()
    for path, content in (('ansible/module_utils/basic.py', source + b'x = 1\n'),
                          ('ansible/module_utils/mine.py', source),
                          ('ansible_collections/a/b/plugins/module_utils/basic.py', source),
                          ('ansible/modules/../module_utils', source)):
        assert prose.travelling(path, content) == content
    assert len(prose.travelling('ansible/module_utils/basic.py', source)) < len(source)
