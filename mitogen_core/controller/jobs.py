"""Jobs of contexts, for programs: calls that go on when their context and the tree are gone (remote/detached.py)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..remote.jobs import FOLDER
from .connection import Future

if TYPE_CHECKING:
    from .tree import Context


class Job:
    """What was begun by Context.detach: any context of the same account and host can ask for it by its `path`."""

    def __init__(self, context: Context, path: str) -> None:
        self.context, self.path = context, path

    def __repr__(self) -> str:
        return f'<Job {self.path} of {self.context.name}>'

    def result(self, forget: bool = False) -> Future:
        """What the function returned, as far as is known now.  The future raises CallError: kind 'running' while it
        runs, 'died' where its process was killed, 'timeout', 'os' where there is no such file; else what the function
        raised.  With `forget` the file of a job that is over is removed."""
        return self.context.tree.connection.service(
            self.context.id, 'jobs', 'status', {'path': self.path, 'forget': forget},
            convert=lambda value, bulk: value)


def start(context: Context, seconds: float, function: Callable[..., Any], args: Any, kwargs: Any) -> Future:
    """Begin a job; the future's result is the Job."""
    head = {**context.head_of(function, args, kwargs),
            'job': {'id': f'm{secrets.token_hex(8)}', 'seconds': seconds, 'folder': FOLDER}}
    return context.tree.connection.service(context.id, 'jobs', 'call', head,
                                           convert=lambda answer, bulk: Job(context, answer['value']))
