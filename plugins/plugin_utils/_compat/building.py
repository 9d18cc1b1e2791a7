"""Builds ahead, beside the run, the modules that a play will need, where stock's builder would have looked for them.

modify_module(module_name, module_path, module_args, templar, task_vars, module_compression), which keeps what it built
in DEFAULT_LOCAL_TMP/ansiballz_cache and looks there first: 2.16-2.21.  The names there are of ansible-core's own
modules from 2.19 on; up to 2.18 a role's module of the same name has the same one.  action_write_locks: 2.16-2.18.
PlayIterator._blocks, _play, PluginLoader._get_paths and _extra_dirs: 2.16-2.21.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from typing import Any

import ansible.module_utils
from ansible import constants as C
from ansible.executor.module_common import modify_module
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import module_loader, module_utils_loader
from ansible.template import Templar
from ansible.utils.display import Display

from . import core_version
from .actions import MODULES, action_of

display = Display()

UTILS = os.path.dirname(os.path.abspath(str(ansible.module_utils.__file__)))
CACHE = 'ansiballz_cache'
# What ansible-core's action plugins run, where that is not the module of their name.
USED = {'assemble': ('stat', 'copy', 'file'), 'copy': ('stat', 'copy', 'file'), 'fetch': ('stat',),
        'gather_facts': ('setup',), 'shell': ('command',), 'template': ('stat', 'copy', 'file'),
        'unarchive': ('stat', 'unarchive')}
# These run their module themselves; others have nothing built.
SIMPLE = ('', 'command', 'normal', 'uri')
INCLUDES = ('include_role', 'include_tasks')
# What is no module but has the text of one, for documentation.
WITHOUT_CODE = (*INCLUDES, 'import_playbook', 'import_role', 'import_tasks', 'meta')
MOST = 24


def wanted(tasks: list[Any]) -> list[str]:
    """Paths of ansible-core's modules that tasks of a play will run, in order; those that may be skipped last."""
    found: dict[str, str] = {}
    for task in sorted(tasks, key=lambda task: bool(task.when)):
        action = action_of(task)
        name = str(task.action).rpartition('.')[2]
        if name in WITHOUT_CODE:
            continue
        for module in USED.get(action or '', (name,) if action in SIMPLE else ()):
            context = module_loader.find_plugin_with_context(
                module if module != name else str(task.action), '.py', collection_list=task.collections)
            path = str(context.plugin_resolved_path or '')
            if path == os.path.join(MODULES, module + '.py'):
                found.setdefault(module, path)
    return list(found.values())[:MOST]


def _only_core(paths: list[str]) -> bool:
    """Are there no modules of ansible-core's names, and no module_utils, but its own?"""
    utils = [path for path in module_utils_loader._get_paths(subdirs=False) if os.path.isdir(path)]
    if any(os.path.abspath(path) != UTILS and os.listdir(path) for path in utils):
        return False
    names = {os.path.basename(path) for path in paths}
    return not any(names & set(os.listdir(path)) for path in module_loader._get_paths()
                   if os.path.isdir(path) and not os.path.abspath(path).startswith(MODULES))


class Builder:
    """`folder`: of its own, on the file system of Ansible's local temporary folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._process: Any = None
        self._directories = 0

    def start(self, iterator: Any) -> None:
        """Begin with what the tasks of a play need."""
        gathers = iterator._play.gather_facts
        if gathers is None:
            gathers = C.DEFAULT_GATHERING != 'explicit'
        # The first block is the one that gathers facts, if they are to be gathered.
        tasks = [task for block in iterator._blocks[not gathers:] for task in block.get_tasks()]
        # Up to 2.18 a role that is not known yet may bring a module of the same name.
        if core_version() < (2, 19) and any(str(task.action).rpartition('.')[2] in INCLUDES for task in tasks):
            return
        paths = wanted(tasks)
        # The first is built by its worker at the same time.
        if len(paths) < 2 or not _only_core(paths):
            return
        self._directories = self._count()
        self._process = multiprocessing.get_context('fork').Process(
            target=self._work, args=([*paths[1:], paths[0]], os.getpid()), daemon=True)
        with display._lock:
            self._process.start()

    @staticmethod
    def _count() -> int:
        return len(module_loader._extra_dirs) + len(module_utils_loader._extra_dirs)

    def check(self) -> None:
        """Forget what was built if there may be other modules or module_utils by now."""
        if self._process is not None and self._directories != self._count():
            self.end()

    def end(self) -> None:
        """Forget what was built and not used."""
        if self._process is None:
            return
        self._process.kill()
        self._process.join()
        self._process = None
        for path, own in self._built():
            with contextlib.suppress(OSError):
                if os.path.samefile(path, own) and not os.path.exists(used(self._folder, os.path.basename(path))):
                    os.unlink(path)

    def _built(self) -> Iterator[tuple[str, str]]:
        """(where stock looks for it, where it was built)."""
        own = os.path.join(self._folder, CACHE)
        with contextlib.suppress(OSError):
            for name in os.listdir(own):
                if not name.endswith(('-part', '.lock')):
                    yield os.path.join(C.DEFAULT_LOCAL_TMP, CACHE, name), os.path.join(own, name)

    def _work(self, paths: list[str], parent: int) -> None:
        """In the process that builds."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if core_version() < (2, 19):
            # Whoever ends this process while it holds one would keep workers waiting.
            from ansible.executor import action_write_locks
            action_write_locks.action_write_locks = {None: multiprocessing.Lock()}
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(nowhere, fd)
        real = C.DEFAULT_LOCAL_TMP
        cache = os.path.join(real, CACHE)
        os.makedirs(cache, exist_ok=True)
        templar = Templar(loader=DataLoader(), variables={})
        for path in paths:
            if os.getppid() != parent:
                break
            name = os.path.basename(path)[:-3]
            if any(found.startswith(f'ansible.modules.{name}-') for found in os.listdir(cache)):
                continue
            C.DEFAULT_LOCAL_TMP = self._folder
            try:
                modify_module(module_name=f'ansible.legacy.{name}', module_path=path, module_args={}, templar=templar,
                              task_vars={'ansible_python_interpreter': '/usr/bin/python3'},
                              module_compression=C.DEFAULT_MODULE_COMPRESSION)
            finally:
                C.DEFAULT_LOCAL_TMP = real
            for there, here in self._built():
                with contextlib.suppress(FileExistsError):
                    os.link(here, there)
        os._exit(0)


def used(folder: str, name: str) -> str:
    """A file that is there if a worker has used a module, whose name in full, or in the cache, this is."""
    return os.path.join(folder, 'used-' + name.partition('-')[0])


def folder(parent: str) -> str:
    """An empty folder for a Builder."""
    path = os.path.join(parent, 'built')
    shutil.rmtree(path, ignore_errors=True)
    os.mkdir(path, 0o700)
    return path
