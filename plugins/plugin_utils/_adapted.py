"""Connections by any plugin that runs a local command: its class, with ours in front."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import connection_loader

from ._compat.options import add_ours
from ._connection import Express
from ._login import Stock
from ._names import NAMES
from ._piped import Piped, runs_commands


class Adapted(Express):
    """Mixin: put it before the plugin's class."""

    login_type = Piped
    # Of its login, while its options are these.
    login_key: str | None = None
    # What modules go through can't be had.
    without_context = False

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys, var_options, direct)
        self.login_key = None

    def prepare(self) -> None:
        # What the plugin does first is for its own commands, and may take a while: only where one is needed.  Some
        # change what they were told then; the key is of what they were told.
        Piped(self)

    @property
    def has_pipelining(self) -> bool:
        """Modules arrive in one piece, if they don't go the stock way."""
        return self.pipelines_itself() or (not self._stock_wished() and self._has_context())

    def _has_context(self) -> bool:
        """Is there one for modules?  Without it this plugin can't be fed them."""
        try:
            if not self.without_context:
                self.attempt(self._context)
        except (Stock, AnsibleError):
            self.without_context = True
        return not self.without_context

    def copies_modes(self) -> bool:
        """`podman cp`, `lxc file pull` and the like do; what opens the file itself does not."""
        ours = (type(self), *Adapted.__mro__)
        stock = next(cls for cls in type(self).__mro__ if cls not in ours and 'fetch_file' in vars(cls))
        code = getattr(inspect.unwrap(vars(stock)['fetch_file']), '__code__', None)
        return code is not None and 'open' not in code.co_names

    def pipelines_itself(self) -> bool:
        """Does the plugin, without us?"""
        return bool(super().has_pipelining)  # type: ignore[misc]

    def modules_as_files(self) -> bool:
        self.without_context = True
        return not self.pipelines_itself()

    def is_pipelining_enabled(self, wrap_async: bool = False) -> bool:
        return self.has_pipelining and super().is_pipelining_enabled(wrap_async)


def _own_names(cls: Any) -> set[str]:
    """Names of what a connection class has that its base has not."""
    found = {name for each in cls.__mro__ if each not in ConnectionBase.__mro__ for name in vars(each)}
    return {name for name in found if not name.startswith('__') and not hasattr(ConnectionBase, name)}


# Attributes of plugins that run commands in ways of their own.
OTHER_MEANS = {'force_persistence', 'always_pipeline_modules', 'has_native_async'}
# Of these a plugin may have its own, which are called by ours.
SHARED = {'transport', 'has_pipelining', 'is_pipelining_enabled'}
OURS = _own_names(Adapted) - SHARED


@functools.cache
def adapted(cls: Any) -> Any:
    """The class that does what `cls` does, accelerated; None where that can't be."""
    if not issubclass(cls, ConnectionBase) or issubclass(cls, Express) or not runs_commands(cls) \
            or _own_names(cls) & OURS or any(vars(each).get('__slots__') for each in cls.__mro__) \
            or '_shell_type' in _names_in_beginning(cls):  # it is for Windows only
        return None
    return type(cls.__name__, (Adapted, cls), {'__module__': cls.__module__, '__doc__': cls.__doc__})


def _names_in_beginning(cls: Any) -> set[str]:
    """Attributes that instances of a connection class are given when they are made, and others that are used then."""
    makers = [vars(each)['__init__'] for each in cls.__mro__
              if each not in ConnectionBase.__mro__ and '__init__' in vars(each)]
    return {name for maker in makers for name in getattr(getattr(maker, '__code__', None), 'co_names', ())}


def has_other_means(connection: Any) -> bool:
    """Is it one that runs commands in ways of its own: with a process that persists, or not by a POSIX shell?"""
    return any(getattr(connection, name, False) for name in OTHER_MEANS) \
        or bool(getattr(connection._shell, '_IS_WINDOWS', False))


@functools.cache
def accelerates(name: str) -> bool:
    """Is a connection by this name one of ours, or becomes one?"""
    if name in NAMES or name in NAMES.values():
        return True
    try:
        cls = connection_loader.get(name, class_only=True)
    except Exception:  # its own: the tasks that use it will tell
        return False
    return cls is not None and adapted(cls) is not None


def adapt(connection: Any) -> Any:
    """What to use instead of a connection that was just made: an accelerated one, if there can be."""
    cls: Any = type(connection)
    cls = adapted(cls)
    if cls is None or has_other_means(connection) or set(vars(connection)) & OURS:
        return connection
    add_ours(connection._load_name)
    found = object.__new__(cls)
    vars(found).update(vars(connection))
    found._adapted_from = connection  # what it made may know it, and end with it
    found.begin(True)
    return found


def load(name: str, *args: Any, **kwargs: Any) -> Any:
    """A connection by this name, accelerated if it can be."""
    found = connection_loader.get(NAMES.get(name, name), *args, **kwargs)
    if found is None:
        raise AnsibleError(f"the connection plugin '{name}' was not found")
    return adapt(found)
