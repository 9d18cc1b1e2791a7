"""The same template is compiled once for all hosts of a shard, or items of a loop.

jinja2.Environment.compile and compile_expression are published; that their code depends on what `_key` names, and on
the plugins that a task sees, is not.  AnsibleEnvironment, and the context that tells whether backslashes are escaped:
ansible._internal._templating._jinja_bits, 2.19-2.21.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

import jinja2
from jinja2.environment import TemplateExpression

from . import core_version

# What the lexer and the code depend on.
SETTINGS = ('block_start_string', 'block_end_string', 'variable_start_string', 'variable_end_string',
            'comment_start_string', 'comment_end_string', 'line_statement_prefix', 'line_comment_prefix', 'trim_blocks',
            'lstrip_blocks', 'newline_sequence', 'keep_trailing_newline', 'optimized', 'autoescape')


def _key(environment: Any, kind: str, source: str) -> Hashable:
    from ansible._internal._templating._jinja_bits import _TemplateCompileContext
    context = _TemplateCompileContext.current(optional=True)
    return (kind, str(source), type(environment), context and context.escape_backslashes, *environment.extensions,
            *(getattr(environment, name) for name in SETTINGS))


def share_compiled(*more: Any) -> None:
    """In the process of a worker, which runs one task; `more` classes of environments too.

    Not up to 2.18, where jinja2 runs filters of constants (`{{ 10 | random }}`) as it compiles.
    """
    if core_version() < (2, 19) or jinja2.Environment.compile.__name__ == 'compile_once':
        return
    from ansible._internal._templating._jinja_bits import AnsibleEnvironment
    known: dict[Hashable, Any] = {}
    kinds = (AnsibleEnvironment, *more)
    compile_any, compile_expression = jinja2.Environment.compile, jinja2.Environment.compile_expression
    # The expression that is being compiled: jinja2 makes a template of it.
    own = threading.local()

    def compile_once(self: Any, source: Any, name: Any = None, filename: Any = None, raw: bool = False,
                     defer_init: bool = False) -> Any:
        expression, own.expression = getattr(own, 'expression', None), None
        if (not isinstance(self, kinds) or name or filename or raw or defer_init
                or getattr(self, '_debuggable_template_source', False)):
            return compile_any(self, source, name, filename, raw, defer_init)  # type: ignore[call-overload]
        key = _key(self, 'template', source) if isinstance(source, str) else expression
        if key is None:
            return compile_any(self, source)
        if key not in known:
            known[key] = compile_any(self, source)
        return known[key]

    def compile_expression_once(self: Any, source: Any, undefined_to_none: bool = True) -> Any:
        if not isinstance(self, kinds):
            return compile_expression(self, source, undefined_to_none)
        key = _key(self, 'expression', source)
        if key in known:
            template = self.template_class.from_code(self, known[key], self.make_globals(None))
            return TemplateExpression(template, undefined_to_none)
        own.expression = key
        try:
            return compile_expression(self, source, undefined_to_none)
        finally:
            own.expression = None

    jinja2.Environment.compile = compile_once  # type: ignore[method-assign]
    jinja2.Environment.compile_expression = compile_expression_once  # type: ignore[method-assign]
