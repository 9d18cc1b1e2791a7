"""The checkout as the collection mitosis.express, for tests that import plugins into their own process."""

from __future__ import annotations

import functools
import importlib
import pathlib
from typing import Any

from ansible import constants
from ansible.plugins.loader import init_plugin_loader

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NAME = 'ansible_collections.mitosis.express'


@functools.cache
def _install() -> None:
    """Have Ansible's own loader find the checkout, in a folder that ends with this process."""
    folder = pathlib.Path(constants.DEFAULT_LOCAL_TMP, 'collections')
    express = folder / NAME.replace('.', '/')
    express.parent.mkdir(parents=True)
    express.symlink_to(ROOT)
    init_plugin_loader([str(folder)])


def load(name: str) -> Any:
    """A module of the collection, such as 'plugins.plugin_utils._compat.ansiballz'."""
    _install()
    return importlib.import_module(f'{NAME}.{name}')
