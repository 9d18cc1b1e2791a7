"""Which files a function needs, found by reading them: its module, and what it imports beyond the standard library."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .content import Closure

# What a context has of its own.
THERE = {'mitogen_core', *sys.stdlib_module_names, *sys.builtin_module_names}


class Code(Closure):
    """A function's files, and the name under which it is found among them."""

    def __init__(self, function: str, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.function = function


def closure_of(function: Callable[..., Any]) -> Code:
    """The closure of a function of a module's top level.  Raises ValueError for others, and where it has no source.

    A program's main module travels under its file's name; there `__name__` is not '__main__', and what only a
    controller has is not to be imported.  Modules that are imported by name at run time, and those written in C,
    are not found: a context needs its own.
    """
    name, module = function.__qualname__, sys.modules.get(function.__module__)
    path = getattr(module, '__file__', None)
    if '.' in name or '<' in name or not path or not path.endswith('.py'):
        raise ValueError(f'{function!r} is no function of the top level of a Python file')
    source = pathlib.Path(path)
    module_name = source.stem if function.__module__ == '__main__' else function.__module__
    files: dict[str, bytes] = {}
    _add(module_name, source, files)
    return Code(f'{module_name}:{name}', files)


def _add(name: str, source: pathlib.Path, files: dict[str, bytes]) -> None:
    """Add a module, the packages that it is in, and what it imports."""
    package = source.name == '__init__.py'
    path = name.replace('.', '/') + ('/__init__.py' if package else '.py')
    if path in files:
        return
    files[path] = source.read_bytes()
    for wanted in _imports(files[path], name if package else name.rpartition('.')[0]):
        _find(wanted, files)
    if '.' in name:
        _find(name.rpartition('.')[0], files)


def _find(name: str, files: dict[str, bytes]) -> None:
    if name.partition('.')[0] in THERE:
        return
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return
    if spec and spec.origin and spec.origin.endswith('.py'):
        _add(name, pathlib.Path(spec.origin), files)


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Names of modules that a file may import; what a `from` import takes may be one too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parts = package.split('.')
                base = '.'.join(parts[:len(parts) - node.level + 1] + ([base] if base else []))
            yield base
            yield from (f'{base}.{alias.name}' for alias in node.names)
