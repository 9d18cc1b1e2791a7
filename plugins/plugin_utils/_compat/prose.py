"""What of ansible-core's own code only people read does not travel: comments, docstrings, a module's documentation.

module_utils and modules, whose syntax the oldest Python of a target has to understand: 2.16-2.21.  Nothing there reads
docstrings, or the documentation that is beside a module's code.  What is not exactly a file of ansible-core's
travels as it is.
"""

from __future__ import annotations

import os
import re

import ansible

_CORE = os.path.dirname(os.path.abspath(str(ansible.__file__)))
_PARTS = ('ansible/module_utils/', 'ansible/modules/')

# What stands for it: a class without any docstring has one made by `dataclass`, which takes long.
NOTHING = b'"."'

# A string, a comment, or a bracket.
_TOKEN = re.compile(rb'''
    """ (?: [^"\\] | \\. | "(?!"") )* """ | \'\'\' (?: [^'\\] | \\. | '(?!'') )* \'\'\'
    | " (?: [^"\\\n] | \\. )* " | ' (?: [^'\\\n] | \\. )* '
    | \#[^\n]* | [()\[\]{}]''', re.S | re.X)
_BEFORE = re.compile(rb'[ \t]*[ruRU]?|(?:DOCUMENTATION|EXAMPLES|RETURN) *= *[rR]?')
_CODING = re.compile(rb'coding[=:]')


def travelling(path: str, content: bytes) -> bytes:
    """What is to travel of a closure's file, `path` being its place there.  Its lines keep their numbers."""
    if not path.startswith(_PARTS) or not path.endswith('.py'):
        return content
    try:
        with open(os.path.join(_CORE, path.partition('/')[2]), 'rb') as f:
            own = f.read() == content
    except OSError:
        return content
    return without_prose(content) if own else content


def without_prose(source: bytes) -> bytes:
    """Python source without its docstrings, and without the comments that have a line of their own."""
    out, done, depth = [], 0, 0
    for found in _TOKEN.finditer(source):
        token, (start, end) = found.group(), found.span()
        if token in (b'(', b'[', b'{'):
            depth += 1
        elif token in (b')', b']', b'}'):
            depth -= 1
        else:
            line = source.rfind(b'\n', 0, start) + 1
            before = source[line:start]
            if token[:1] == b'#':
                if not before.strip() and not (_CODING.search(token) and source.count(b'\n', 0, line) < 2):
                    out.append(source[done:line])
                    done = end
            elif _stands_alone(source, line, before, end) and not depth:
                out += (source[done:start], NOTHING, b'\n' * token.count(b'\n'))
                done = end
    return b''.join((*out, source[done:]))


def _stands_alone(source: bytes, line: int, before: bytes, end: int) -> bool:
    """Is a string a statement, or the documentation of a module?"""
    return bool(_BEFORE.fullmatch(before)) and source[end:end + 1] in (b'\n', b'') and source[line - 2:line] != b'\\\n'
