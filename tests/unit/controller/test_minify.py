"""What is shipped says the same as what was written, on the same lines."""

from __future__ import annotations

import ast
import io
import itertools
import pathlib
import sysconfig
import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.controller.minify import minify
from tests.support.sources import ROOT, SHIPPED

STDLIB = pathlib.Path(sysconfig.get_paths()['stdlib'])


def supported(source: str) -> bool:
    """Is this in the part of the language that shipped files keep to?  No continued lines, no f-strings, and no
    attribute of a number."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    breaks = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
    for before, after in itertools.pairwise(tokens):
        if after.start[0] > before.end[0] and before.type not in breaks:
            return False
        if before.type == getattr(tokenize, 'FSTRING_START', -1):
            return False
        if before.type == tokenize.NUMBER and after.string == '.':
            return False
    return True


def read(path: pathlib.Path) -> str | None:
    try:
        source = path.read_text(encoding='utf-8')
        return source if supported(source) else None
    except (UnicodeDecodeError, SyntaxError, tokenize.TokenError):
        return None


SMALL = [path for path in sorted(STDLIB.glob('*.py')) if path.stat().st_size < 9000]


def meaning(source: str) -> tuple[str, list[tuple[str, int]]]:
    """(the program without texts that stand alone, the line on which each statement begins)."""
    module = ast.parse(source)
    where = []
    for node in ast.walk(module):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ''
        elif isinstance(node, ast.stmt):
            where.append((type(node).__name__, node.lineno))
    return ast.dump(module), where


def same(source: str) -> str:
    small = minify(source)
    assert meaning(small) == meaning(source)
    compile(small, 'small', 'exec')
    assert minify(small) == small
    return small


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_files(path):
    source = path.read_text(encoding='ascii')
    small = same(source)
    assert len(small) < len(source) or not source
    assert '#' not in ''.join(line for line in small.split('\n') if "'" not in line and '"' not in line)


@given(st.sampled_from(SMALL))
def test_the_standard_library(path):
    source = read(path)
    if source is not None:
        same(source)


def test_the_standard_library_is_looked_at():
    assert sum(read(path) is not None for path in SMALL[:30]) >= 5


@pytest.mark.parametrize('source, small', [
    ('', '\n'),
    ('x = 1  # why\n', 'x=1\n'),
    ('"""Doc.\n\nMore.\n"""\nx = 1\n', '""\n\n\n\nx=1\n'),
    ('def f(a):\n    """Doc."""\n    return a\n', 'def f(a):\n ""\n return a\n'),
    ('def f():\n    """Only this."""\n', 'def f():\n ""\n'),
    ('if x:\n        if y:\n                pass\n', 'if x:\n if y:\n  pass\n'),
    ('a = "# no comment"\n', 'a="# no comment"\n'),
    ("a = ('x'\n     'y')\n", "a=('x'\n'y')\n"),
    ('not_a = not a\nb = a if c else d\n', 'not_a=not a\nb=a if c else d\n'),
    ("x = u'a' in b'c'\n", "x=u'a'in b'c'\n"),
    ("return_ = '''a\n    b'''\n", "return_='''a\n    b'''\n"),
    ('x = [\n    1,  # one\n    2,\n]\n', 'x=[\n1,\n2,\n]\n'),
    ('print("a"); "text"\n', 'print("a");"text"\n'),
])
def test_examples(source, small):
    assert minify(source) == small
    same(source)
