"""Shrinks Python source for the trip: no comments, no docstrings, one column a level; line numbers stay."""

from __future__ import annotations

import io
import tokenize

_UNSEEN = (tokenize.COMMENT, tokenize.ENCODING, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT)


def minify(source: str) -> str:
    """`source` without what only people read.

    Line numbers stay.  A line must not be continued by a backslash.
    """
    out: list[str] = []
    depth, line, fresh = 0, 1, True
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for index, (kind, text, (start, _column), (end, _end), _line) in enumerate(tokens):
        depth += (kind == tokenize.INDENT) - (kind == tokenize.DEDENT)
        if kind in _UNSEEN:
            continue
        out.append('\n' * (start - line))
        line = end
        if kind in (tokenize.NEWLINE, tokenize.NL):
            fresh = fresh or kind == tokenize.NEWLINE
            continue
        if fresh:
            out.append(' ' * depth)
        elif _needs_space(out[-2:], text):
            out.append(' ')
        if fresh and kind == tokenize.STRING and tokens[index + 1][0] == tokenize.NEWLINE:
            text = '""'
            line = start
        out.append(text)
        fresh = False
    return ''.join(out) + '\n'


def _needs_space(before: list[str], right: str) -> bool:
    left = ''.join(before)[-1:]

    def word(char: str) -> bool:
        return char.isalnum() or char == '_'
    return word(left) and (word(right[0]) or right[0] in '\'"')
