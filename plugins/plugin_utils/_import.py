"""Imports this collection's own modules through Python's file loader, which keeps compiled code.

Ansible's collection loader compiles a file each time a process imports it; without a strategy of ours that is in every
worker, for every task.  Importing this module is enough.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import stat
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import cache_from_source, spec_from_file_location
from types import CodeType
from typing import Any

from ansible import constants as C

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = __name__.rpartition('.plugins.')[0]


class Loader(SourceFileLoader):
    """Keeps compiled code for the run where Python can not keep it beside the source: PYTHONDONTWRITEBYTECODE is usual
    in containers, and so are collections that belong to somebody else."""

    def get_code(self, fullname: str) -> CodeType | None:
        beside = cache_from_source(self.path)
        if os.path.exists(beside):
            return super().get_code(fullname)
        folder = os.path.join(C.DEFAULT_LOCAL_TMP, 'mitosis')
        if not _private(folder):
            return super().get_code(fullname)
        kept = os.path.join(folder, f'{fullname}.code')
        try:
            with open(kept, 'rb') as file:
                code: CodeType | None = marshal.loads(file.read())  # nosec B302  # we wrote it
                return code
        except (OSError, ValueError, EOFError, TypeError):
            pass
        code = super().get_code(fullname)
        if not os.path.exists(beside):
            try:
                with open(f'{kept}.{os.getpid()}', 'wb') as part:
                    part.write(marshal.dumps(code))
                os.rename(part.name, kept)
            except OSError:
                pass
        return code


def _private(folder: str) -> bool:
    """Is this run's own folder there, in Ansible's local temporary one, and nobody else's?  (client.check_private asks
    the same, and is among what comes by way of this file.)"""
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        status = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


class Finder:
    """Finds PREFIX.plugins.plugin_utils and PREFIX.mitogen_core, nothing else."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith((PREFIX + '.plugins.plugin_utils.', PREFIX + '.mitogen_core')):
            return None
        base = os.path.join(ROOT, *name[len(PREFIX) + 1:].split('.'))
        package = os.path.join(base, '__init__.py')
        if os.path.isfile(package):
            return spec_from_file_location(name, package, loader=Loader(name, package),
                                           submodule_search_locations=[base])
        path = base + '.py'
        return spec_from_file_location(name, path, loader=Loader(name, path)) if os.path.isfile(path) else None


if PREFIX and not any(type(finder).__name__ == 'Finder' and type(finder).__module__ == __name__
                      for finder in sys.meta_path):
    # Before Ansible's own, which is the first of all but where its tests guard imports.
    names = [type(finder).__name__ for finder in sys.meta_path]
    place = names.index('_AnsibleCollectionFinder') if '_AnsibleCollectionFinder' in names else 0
    sys.meta_path.insert(place, Finder())
