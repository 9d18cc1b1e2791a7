"""Where a strategy can step in between ansible-core's scheduler and its workers, without patching anything global.

`StrategyBase._queue_task` makes a `WorkerProcess`, and `StrategyBase._execute_meta` a connection for reset_connection:
2.16-2.21.  Ours are the same functions, with these names bound to something else in a copy of their globals.
`PlayIterator._play` is the play that all callbacks were given: 2.16-2.21.
`WorkerProcess._shared_loader_obj` is where workers take plugins from: 2.16-2.21.
"""

from __future__ import annotations

import gc
import types
from typing import Any

from ansible.executor.process.worker import WorkerProcess
from ansible.plugins import loader as plugin_loader
from ansible.plugins.strategy import StrategyBase

from . import Unknown
from .shard import Shard


class ConnectionLoader:
    """The connection loader, with some names leading to other plugins.

    `names` maps names to FQCNs; made(instance, name) is given what was made under each name, and returns what to use.
    """

    def __init__(self, names: dict[str, str], made: Any) -> None:
        self._names, self._made = names, made

    def __getattr__(self, name: str) -> Any:
        return getattr(plugin_loader.connection_loader, name)

    def get_with_context(self, name: str, *args: Any, **kwargs: Any) -> Any:
        result = plugin_loader.connection_loader.get_with_context(self._names.get(name, name), *args, **kwargs)
        if result.object is not None and not kwargs.get('class_only'):
            result = result._replace(object=self._made(result.object, name))
        return result

    def get(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self.get_with_context(name, *args, **kwargs).object


class Loaders:
    """All of ansible-core's loaders, but for the connections'."""

    def __init__(self, connection_loader: ConnectionLoader) -> None:
        self.connection_loader = connection_loader

    def __getattr__(self, name: str) -> Any:
        return getattr(plugin_loader, name)


def pose_as(iterator: Any, name: str) -> None:
    """Have the play say that its strategy is the stock one `name`: StrategyBase and the default callback look for that
    in `Play.strategy`."""
    play = getattr(iterator, '_play', None)
    if play is not None:
        play.strategy = name


def _rebound(function: Any, **names: Any) -> Any:
    """The same function, seeing other objects under some of its global names."""
    if not isinstance(function, types.FunctionType) or hasattr(function, '__wrapped__'):
        raise Unknown(f'{function!r} is no plain function')
    missing = [name for name in names if name not in function.__code__.co_names]
    if missing:
        raise Unknown(f'{function.__qualname__} does not use {", ".join(missing)}')
    copy = types.FunctionType(function.__code__, dict(function.__globals__, **names), function.__name__,
                              function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


class Methods:
    """`queue_task` and `execute_meta` of StrategyBase that use `loaders`.  The next worker that is made gets `shard`,
    if there is one, and is then `worker`.  Raises Unknown."""

    def __init__(self, loaders: Loaders) -> None:
        self.shard: Shard | None = None
        self.worker: Any = None
        owner = self

        class Worker(WorkerProcess):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                if not hasattr(self, '_shared_loader_obj'):
                    raise Unknown('WorkerProcess._shared_loader_obj')
                self._shared_loader_obj = loaders
                self.shard, owner.shard = owner.shard, None
                owner.worker = self

            def start(self) -> None:
                if self.shard:
                    self.shard.before_start()
                super().start()

            def run(self) -> None:
                # Looking for garbage in what is shared with the strategy's process would copy it.
                gc.freeze()
                super().run()

            def _run(self) -> None:
                if self.shard:
                    self.shard.run(self, super()._run.__func__)
                else:
                    super()._run()

            @property
            def exitcode(self) -> Any:
                """has_dead_workers of TaskQueueManager ends the play by it; of a shard, only some hosts fail."""
                code = super().exitcode
                return 0 if code and self.shard else code

        self.queue_task = _rebound(StrategyBase._queue_task, WorkerProcess=Worker)
        self.execute_meta = _rebound(StrategyBase._execute_meta, plugin_loader=loaders)
