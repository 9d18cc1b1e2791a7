"""The files of `template`.

ActionBase._find_needle(folder, path) finds one; the arguments that change marks are those of 2.16-2.21.
"""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleError

from .actions import registered
from .independent import Independence

# Larger ones are not looked into.
MOST = 64 << 10


def text_of(handler: Any) -> str | None:
    """What the action renders, where that has the usual marks."""
    arguments = handler._task.args
    if any(name.endswith('_string') for name in arguments) or not isinstance(arguments.get('src'), str):
        return None
    try:
        path = handler._find_needle('templates', arguments['src'])
        if os.path.getsize(path) > MOST:
            return None
        with open(path, encoding='utf-8') as file:
            text = file.read()
    except (AnsibleError, OSError, ValueError):
        return None
    return None if text.startswith('$ANSIBLE_VAULT') else text


def renders_alike(handler: Any, variables: Any) -> bool:
    """May it be rendered again, or before it is its turn in a loop, and nobody sees that?"""
    text = text_of(handler)
    return text is not None and Independence(variables or {}, frozenset(), registered(handler._task)).of(text)
