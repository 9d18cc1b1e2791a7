"""Imports this collection's own modules through Python's file loader, which keeps compiled code.

Ansible's collection loader compiles a file each time a process imports it; without a strategy of ours that is in every
worker, for every task.  Importing this module is enough.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from typing import Any

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIX = __name__.rpartition('.plugins.')[0]


class Finder:
    """Finds PREFIX.plugins.plugin_utils and PREFIX.mitogen_core, nothing else."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith((PREFIX + '.plugins.plugin_utils.', PREFIX + '.mitogen_core')):
            return None
        base = os.path.join(ROOT, *name[len(PREFIX) + 1:].split('.'))
        package = os.path.join(base, '__init__.py')
        if os.path.isfile(package):
            return spec_from_file_location(name, package, submodule_search_locations=[base])
        return spec_from_file_location(name, base + '.py') if os.path.isfile(base + '.py') else None


if PREFIX and not any(type(finder).__name__ == 'Finder' and type(finder).__module__ == __name__
                      for finder in sys.meta_path):
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
