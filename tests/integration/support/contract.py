"""Runs the contract playbook on hosts of its own."""

from __future__ import annotations

import json
import os
import pathlib
import tarfile
from typing import Any

from .control import HERE, Control, Core, Finished
from .hosts import Hosts

# Around the 128 KiB pieces that files travel in.
SIZES = {'x0': 0, 'x131071': 131071, 'x131072': 131072, 'x131073': 131073, 'x8M': 8 * 1024 * 1024}


class Contract:
    """One run of it: one ansible-core, one way."""

    def __init__(self, core: Core, way: str, folder: pathlib.Path) -> None:
        self.core, self.way, self.folder = core, way, folder
        self.finished: Finished | None = None
        self.leftovers: list[str] = []
        self.own: list[tuple[str, str]] = []

    def run(self, other_python: str | None, *playbooks: str) -> Contract:
        hosts = Hosts.up(2, self.folder / 'hosts')
        try:
            control = Control(self.core, self.way, hosts, self.folder / 'control')
            local = self.folder / 'local'
            material(local)
            network = hosts.addresses['t1'].rpartition('.')[0]
            control.add_inventory('more.ini', '[targets]\n'
                                  f'unreachable ansible_host={network}.250 ansible_ssh_timeout=2\n')
            self.own = [(str(local), 'LOCAL'), (str(self.folder), 'FOLDER'), (network, 'NETWORK')]
            prefix = '' if self.way != 'strategy' else 'mitosis.express.'
            extra: dict[str, Any] = {'local': str(local), 'sizes': list(SIZES), 'free_strategy': prefix + 'free',
                                     'pinned_strategy': prefix + 'host_pinned'}
            if other_python:
                extra['other_python'] = other_python
            paths = [HERE / 'contract' / name for name in playbooks or ('site.yml',)]
            self.finished = control.playbook(*paths, '-e', json.dumps(extra), seconds=900)
            self.leftovers = control.leftovers()
        finally:
            hosts.down()
        return self


def material(folder: pathlib.Path) -> None:
    """Files to be copied."""
    (folder / 'sizes').mkdir(parents=True)
    for name, size in SIZES.items():
        (folder / 'sizes' / name).write_bytes((b'0123456789abcdef' * (size // 16 + 1))[:size])
    tree = folder / 'tree'
    (tree / 'sub' / 'empty').mkdir(parents=True)
    (tree / 'ünï ☃').write_text('snow')
    (tree / 'sub' / 'script').write_text('#!/bin/sh\n')
    (tree / 'sub' / 'script').chmod(0o755)
    (tree / 'link').symlink_to('sub/script')
    (folder / 'fetched').mkdir()
    for path in (tree / 'ünï ☃', tree / 'sub' / 'script'):
        os.utime(path, (1577934245, 1577934245))
    with tarfile.open(folder / 'archive.tar.gz', 'w:gz') as archive:
        for name in ('ünï ☃', 'sub'):
            archive.add(tree / name, arcname=name)
