"""The rings hold: arrows point inward only, the core knows nothing of Ansible, shipped files suit old Pythons."""

from __future__ import annotations

import ast
import itertools
import pathlib
import re
import sys
import tokenize

import pytest

from tests.support.sources import CORE, ROOT, SHIPPED, imports, python_files, tree

WIRE = python_files(CORE / 'wire')
REMOTE = python_files(CORE / 'remote')
CONTROLLER = python_files(CORE / 'controller')
PLUGINS = python_files(ROOT / 'plugins')
COMPAT = ROOT / 'plugins' / 'plugin_utils' / '_compat'

# The pure ring: no files, sockets, processes, threads or clocks.  py23 alone touches the system, for its clock.
PURE = {'io', 'json', 'pickle', 'struct'}
PY23 = PURE | {'os', 'sys', 'time'}
PY23_USES = {'os.times', 'sys.version_info', 'time.monotonic'}
NOT_PURE = {'open', 'input', 'print', 'exec', 'eval', 'compile', '__import__', 'globals'}

# What ansible-core publishes to plugin authors, or names in its documentation; the rest is _compat's.
PUBLIC = [re.compile(pattern + '$') for pattern in (
    r'ansible(\.constants|:constants)', r'ansible\.errors:\w+', r'ansible\.plugins\.connection\.(ssh|local):Connection',
    r'ansible\.plugins\.connection:ConnectionBase',
    r'ansible\.plugins\.strategy\.\w+:StrategyModule', r'ansible\.plugins\.loader:connection_loader',
    r'ansible\.plugins\.action:ActionBase', r'ansible\.plugins\.callback:CallbackBase',
    r'ansible\.utils\.display:Display',
)]


def ids(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def is_within(name: str, *packages: str) -> bool:
    module = name.partition(':')[0]
    return any(module == package or module.startswith(package + '.') for package in packages)


def stdlib(name: str) -> bool:
    return name.partition(':')[0].partition('.')[0] in sys.stdlib_module_names


def wrong(path: pathlib.Path, right) -> list[str]:
    return [f'line {line}: {name}' for line, name in imports(path) if not right(name)]


def test_there_is_something_to_look_at():
    assert all((WIRE, REMOTE, CONTROLLER, PLUGINS, list(imports(COMPAT / 'ssh.py'))))


@pytest.mark.parametrize('path', WIRE, ids=ids)
def test_wire_is_pure(path):
    allowed = PY23 if path.name == 'py23.py' else PURE
    assert wrong(path, lambda name: is_within(name, 'mitogen_core.wire') or name in allowed) == []
    names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    # constants.py lists its own names once, to make a table of them.
    assert names & NOT_PURE <= ({'globals'} if path.name == 'constants.py' else set())


def test_wire_knows_no_clock_but_one():
    path = CORE / 'wire' / 'py23.py'
    uses = {f'{node.value.id}.{node.attr}' for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in PY23}
    assert uses == PY23_USES
    users = [ids(other) for other in WIRE for _, name in imports(other) if name.endswith(':monotonic')]
    assert users == []


@pytest.mark.parametrize('path', REMOTE, ids=ids)
def test_remote_imports_inward(path):
    def right(name):
        # A module's own copy of ansible.module_utils, from forwarded code: it is there only while a module runs.
        forwarded = path.name in ('execute.py', 'runner.py') and is_within(name, 'ansible.module_utils')
        return is_within(name, 'mitogen_core.wire', 'mitogen_core.remote') or stdlib(name) or forwarded
    assert wrong(path, right) == []


@pytest.mark.parametrize('path', CONTROLLER, ids=ids)
def test_controller_imports_inward(path):
    assert wrong(path, lambda name: is_within(name, 'mitogen_core') or stdlib(name)) == []


@pytest.mark.parametrize('path', PLUGINS, ids=ids)
def test_plugins_import_inward(path):
    def right(name):
        if path.is_relative_to(COMPAT):
            return is_within(name, 'plugins.plugin_utils._compat', 'ansible', 'jinja2') or stdlib(name)
        ours = is_within(name, 'mitogen_core.wire', 'mitogen_core.controller', 'plugins.plugin_utils')
        return ours or stdlib(name) or any(pattern.match(name) for pattern in PUBLIC)
    assert wrong(path, right) == []


@pytest.mark.parametrize('path', [path for path in PLUGINS if path.is_relative_to(COMPAT)], ids=ids)
def test_compat_says_which_versions_it_is_for(path):
    assert re.search(r'\b2\.\d\d\b', ast.get_docstring(tree(path)) or '')


@pytest.mark.parametrize('path', python_files(CORE), ids=ids)
def test_the_core_imports_itself_by_relative_names(path):
    """Within the collection it has another name, and never two in one process."""
    absolute = [node.lineno for node in ast.walk(tree(path))
                if (isinstance(node, ast.Import) and any(is_within(a.name, 'mitogen_core') for a in node.names))
                or (isinstance(node, ast.ImportFrom) and not node.level and is_within(node.module, 'mitogen_core'))]
    assert absolute == []


def newer_syntax(module: ast.Module) -> list[str]:
    """What Python 2.7 would not take, or the minifier."""
    found = []
    for node in ast.walk(module):
        kinds = (ast.AnnAssign, ast.JoinedStr, ast.NamedExpr, ast.Nonlocal, ast.AsyncFunctionDef, ast.AsyncFor,
                 ast.AsyncWith, ast.Await, ast.YieldFrom, ast.MatMult)
        bad = isinstance(node, kinds)
        if isinstance(node, ast.arguments):
            every = [*node.posonlyargs, *node.args, *node.kwonlyargs, node.vararg, node.kwarg]
            if node.kwonlyargs or node.posonlyargs or any(arg and arg.annotation for arg in every):
                found.append('arguments')
        elif isinstance(node, ast.FunctionDef):
            bad = node.returns is not None
        elif isinstance(node, ast.ClassDef):
            bad = bool(node.keywords) or not node.bases
        elif isinstance(node, ast.Raise):
            bad = node.cause is not None
        elif isinstance(node, ast.Dict):
            bad = None in node.keys
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            bad = any(isinstance(item, ast.Starred) for item in node.elts)
        elif isinstance(node, ast.Call):
            stars = [isinstance(arg, ast.Starred) for arg in node.args]
            name = node.func.id if isinstance(node.func, ast.Name) else ''
            bad = any(stars[:-1]) or (name == 'super' and not node.args) or (name == 'print' and bool(node.keywords))
        if bad:
            found.append(f'line {node.lineno}: {type(node).__name__}')
    return found


@pytest.mark.parametrize('path', SHIPPED, ids=ids)
def test_shipped_files_run_on_old_pythons(path):
    assert path.read_bytes().isascii()
    assert newer_syntax(tree(path)) == []


@pytest.mark.parametrize('path', SHIPPED, ids=ids)
def test_shipped_files_have_no_continued_lines(path):
    with path.open('rb') as source:
        tokens = [token for token in tokenize.tokenize(source.readline) if token.type != tokenize.ENCODING]
    breaks = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
    continued = [after.start[0] for before, after in itertools.pairwise(tokens)
                 if after.start[0] > before.end[0] and before.type not in breaks]
    assert continued == []


@pytest.mark.parametrize('source', [
    'def f(a, *, b): 1', 'def f(a, /): 1', 'def f(a: int): 1', 'def f() -> int: 1', 'a: int = 1', "f'{x}'", '(a := 1)',
    'class A: 1', 'class A(object, metaclass=M): 1', 'raise A from b', '{**a}', '[*a]', 'f(*a, b)', 'super()',
    'print(a, file=b)', 'async def f(): 1', 'def f():\n def g():\n  nonlocal a', 'def f(): yield from a',
])
def test_the_check_for_newer_syntax_sees_it(source):
    assert newer_syntax(ast.parse(source))
