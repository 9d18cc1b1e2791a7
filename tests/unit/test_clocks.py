"""The wall clock may jump: it is for people's eyes, and no deadline is taken from it."""

from __future__ import annotations

import ast
import pathlib

import pytest

from tests.support.sources import CORE, ROOT, python_files, tree

WALL = {('time', 'time'), ('time', 'time_ns'), ('datetime', 'now'), ('datetime', 'utcnow'), ('datetime', 'today')}
# Stamps of lines in a log, and of results.
FOR_PEOPLE = {'mitogen_core/controller/log.py': 1, 'plugins/action/observe.py': 1}
FILES = [*python_files(CORE), *python_files(ROOT / 'plugins')]


def uses(module: ast.AST) -> list[str]:
    found = [f'{node.value.id}.{node.attr}' for node in ast.walk(module)
             if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
             and (node.value.id, node.attr) in WALL]
    found += [f'{node.value.attr}.{node.attr}' for node in ast.walk(module)
              if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
              and (node.value.attr, node.attr) in WALL]
    # By another name it would not be seen.
    found += [f'from {node.module} import {alias.name}' for node in ast.walk(module)
              if isinstance(node, ast.ImportFrom) and node.module == 'time' for alias in node.names]
    return found


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_deadline_by_the_wall_clock(path: pathlib.Path) -> None:
    found = uses(tree(path))
    assert len(found) == FOR_PEOPLE.get(str(path.relative_to(ROOT)), 0), found


def test_it_sees_them() -> None:
    text = 'import time, datetime\nend = time.time() + 3\nfrom time import time\ndatetime.datetime.now()\n'
    assert uses(ast.parse(text)) == ['time.time', 'datetime.now', 'from time import time']
