"""The project's own Python files, and what they import."""

from __future__ import annotations

import ast
import itertools
import pathlib
from collections.abc import Iterator

from mitogen_core.controller import bootstrap

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CORE = ROOT / 'mitogen_core'
SHIPPED = tuple(CORE / name for name in (*bootstrap.SHIPPED, *itertools.chain(*bootstrap.LATE.values())))
# Folders that hold nothing of the project's.
FOREIGN = ('.', '__pycache__')


def python_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All .py files below `folder`, sorted."""
    return sorted(path for path in folder.rglob('*.py')
                  if not any(part.startswith(FOREIGN) for part in path.relative_to(ROOT).parts))


def tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


def imports(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """(line, name) of each import in a file, at any depth.  Relative ones are made absolute from the project's root, a
    `from` import gives 'module' and, for what it takes from there, 'module:name'."""
    package = path.relative_to(ROOT).with_suffix('').parts[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else ()
            module = '.'.join((*base, *([node.module] if node.module else [])))
            for alias in node.names:
                yield node.lineno, f'{module}:{alias.name}'
