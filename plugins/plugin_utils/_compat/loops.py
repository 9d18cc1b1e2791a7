"""Items of a loop before it is their turn.

TaskExecutor._run_loop calls `_execute` for each item, having made copies of task and play context for it: 2.16-2.18
_execute(variables), 2.19-2.20 _execute(templar, variables), of whose variables the item's are; its locals `items`,
`item_index`, `loop_var`, `index_var`, `extended`, `extended_allitems` say which item it is.  2.21: _execute(), and all
of this is in the current TaskContext.  FinalQueue.send_display gets what a worker displays: 2.16-2.21.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ansible.executor.task_executor import TaskExecutor
from ansible.executor.task_queue_manager import FinalQueue
from ansible.utils.display import Display

from . import core_version

display = Display()
_own = threading.local()
_MISSING = object()
_stock: Any = None


class Outcome:
    """What `_execute` did for an item: its value or what it raised, and what it changed besides."""

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None
        # Is the loop over with it?
        self.ends = False
        self.task: Any = None
        self.play_context: Any = None
        self.variables: dict[str, Any] = {}
        self.said: list[Any] = []

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """What is raised or displayed within is kept."""
        _own.said = self.said
        try:
            yield
        except BaseException as e:
            self.error = e
        finally:
            _own.said = None
        self.ends = self.ends or self.error is not None

    def tell(self) -> None:
        """Display and raise what was kept."""
        for one in self.said:
            display._final_q.send_display(*one[0], **one[1])
        if self.error is not None:
            raise self.error


class Loop:
    """A loop of which `executor` is about to execute item `number`, as stock's `_execute` is called for it."""

    def __init__(self, executor: Any, arguments: dict[str, Any]) -> None:
        if core_version() < (2, 21):
            found = _locals(executor)
            self.items, self.number = found['items'], found['item_index']
            self._names = found['loop_var'], found['index_var']
            self._extended = found['extended'], found['extended_allitems']
            self.variables = arguments['variables']
        else:
            from ansible._internal._task import TaskContext
            context = TaskContext.current()
            control = context.task.loop_control
            self.items, self.number = context._loop_items, context._item_index
            self._names = control.loop_var, control.index_var
            self._extended = control.extended, control.extended_allitems
            self.variables = context.task_vars
        self.task = executor._task
        self._executor, self._arguments = executor, arguments
        self._context = contextvars.copy_context()
        # As they are before the item's `_execute` completes them.
        self._pristine = _copy_of(executor._task), executor._play_context.copy()
        self._base = dict(self.variables)

    def own_names(self) -> frozenset[str]:
        """Variables that each item gets anew."""
        return frozenset(filter(None, (*self._names, 'ansible_loop', 'ansible_loop_var', 'ansible_index_var')))

    def _variables_of(self, number: int) -> dict[str, Any]:
        """As _run_loop and TaskContext.start_loop set them."""
        items, (loop_var, index_var), (extended, all_items) = self.items, self._names, self._extended
        found = dict(self._base, ansible_loop_var=loop_var)
        found[loop_var] = items[number]
        if index_var:
            found['ansible_index_var'] = index_var
            found[index_var] = number
        if extended:
            loop = found['ansible_loop'] = {
                'index': number + 1, 'index0': number, 'first': number == 0, 'last': number + 1 == len(items),
                'length': len(items), 'revindex': len(items) - number, 'revindex0': len(items) - number - 1}
            if all_items:
                loop['allitems'] = items
            if number + 1 < len(items):
                loop['nextitem'] = items[number + 1]
            if number:
                loop['previtem'] = items[number - 1]
        return found

    def in_context(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work`, for a thread, as if called where the loop is."""
        return functools.partial(self._context.copy().run, work)

    def slot(self) -> Any:
        """An executor with a connection of its own, for item after item."""
        found = copy.copy(self._executor)
        found._connection = None
        return found

    def run(self, slot: Any, number: int) -> Outcome:
        """Execute an item as stock would."""
        outcome = Outcome()
        with outcome.kept():
            variables = self._variables_of(number)
            task, slot._play_context = _copy_of(self._pristine[0]), self._pristine[1].copy()
            (self._run if core_version() < (2, 21) else self._run_in_context)(slot, number, task, variables, outcome)
        outcome.play_context = slot._play_context
        return outcome

    def _run(self, slot: Any, number: int, task: Any, variables: dict[str, Any], outcome: Outcome) -> None:
        slot._task, before = task, dict(variables)
        arguments = dict(self._arguments, variables=variables)
        if 'templar' in arguments:
            templar = arguments['templar']
            arguments['templar'] = type(templar)(loader=slot._loader, variables=variables)
        outcome.value = _stock(slot, **arguments)
        outcome.task, outcome.variables = slot._task, _changes(before, variables)

    def _run_in_context(self, slot: Any, number: int, task: Any, variables: dict[str, Any], outcome: Outcome) -> None:
        from ansible._internal._task import TaskContext
        context = copy.copy(TaskContext.current())
        base = dict(self._base)
        context._base_task_vars, context._active_task_vars, context._templar = base, variables, None
        context._task, context._item, context._item_index = task, self.items[number], number
        context._loop_extended = variables.get('ansible_loop') if self._extended[0] else None
        context._raw_loop_results = [None] * number
        with context:
            outcome.value = _stock(slot)
        outcome.task, outcome.variables = context._task, _changes(self._base, base)

    def take(self, executor: Any, arguments: dict[str, Any], outcome: Outcome) -> Any:
        """What `_execute` would return, having done what it would have done."""
        outcome.tell()
        executor._play_context = outcome.play_context
        if core_version() < (2, 21):
            executor._task = outcome.task
            arguments['variables'].update(outcome.variables)
            return outcome.value
        from ansible._internal._task import TaskContext
        context = TaskContext.current()
        context._task = outcome.task
        context._enable_registered_vars()
        context.update_task_vars(outcome.variables)
        context._raw_loop_results.append(outcome.value)
        return outcome.value


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in after.items() if before.get(name, _MISSING) is not value}


def _copy_of(task: Any) -> Any:
    found = task.copy(exclude_parent=True, exclude_tasks=True)
    found._parent = task._parent
    return found


def _locals(executor: Any) -> dict[str, Any]:
    frame = sys._getframe(1)
    while frame.f_code.co_name != '_run_loop' or frame.f_locals.get('self') is not executor:
        if frame.f_back is None:
            raise LookupError('_run_loop')
        frame = frame.f_back
    return frame.f_locals


def in_loop(executor: Any) -> bool:
    """Is `_execute` being called for an item of a loop?"""
    if core_version() < (2, 21):
        return sys._getframe(3).f_code.co_name == '_run_loop'
    from ansible._internal._task import TaskContext
    context = TaskContext.current()
    return bool(context.is_loop and not context.has_loop_exited)


@contextlib.contextmanager
def said_at_once() -> Iterator[None]:
    """What is displayed within is not kept."""
    said = getattr(_own, 'said', None)
    _own.said = None
    try:
        yield
    finally:
        _own.said = said


def install(execute: Callable[[Any, dict[str, Any], Callable[[], Any]], Any]) -> None:
    """In a worker: have execute(executor, arguments, stock) called instead of each TaskExecutor._execute."""
    global _stock
    stock, send = TaskExecutor._execute, FinalQueue.send_display
    if _stock is not None:
        return
    _stock = stock
    names = ('variables',) if core_version() < (2, 19) else ('templar', 'variables')

    def _execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        return execute(self, arguments, lambda: stock(self, **arguments))

    def send_display(self: Any, *args: Any, **kwargs: Any) -> Any:
        said = getattr(_own, 'said', None)
        if said is None:
            return send(self, *args, **kwargs)
        said.append((args, kwargs))
        return None
    TaskExecutor._execute, FinalQueue.send_display = _execute, send_display
