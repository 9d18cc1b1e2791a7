"""The folder of a run: what lies there is private, or is not used."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import pytest
from ansible import constants as C

from tests.support import collection

client = collection.load('mitogen_core.controller.client')
runtime = collection.load('plugins.plugin_utils._runtime')


@pytest.fixture
def local(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Ansible's local temporary folder."""
    monkeypatch.setattr(C, 'DEFAULT_LOCAL_TMP', str(tmp_path))
    return tmp_path


def make_link(path: pathlib.Path) -> None:
    (path.parent / 'elsewhere').mkdir(mode=0o700)
    path.symlink_to('elsewhere')


def make_open(path: pathlib.Path) -> None:
    path.mkdir()
    path.chmod(0o770)


def make_foreign(path: pathlib.Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)


def test_it_is_made_once(local: pathlib.Path):
    assert runtime.folder() == runtime.folder() == str(local / 'mitosis')
    client.check_private(runtime.folder())


def test_whatever_the_umask(local: pathlib.Path):
    before = os.umask(0)
    try:
        client.check_private(runtime.folder())
    finally:
        os.umask(before)


@pytest.mark.parametrize('make', [make_link, make_open, pathlib.Path.touch, pytest.param(
    make_foreign, marks=pytest.mark.skipif(os.geteuid() != 0, reason='only root can be another user too'))])
def test_one_that_was_put_there(local: pathlib.Path, make: Callable[[pathlib.Path], None]):
    """By somebody who may write to the folder around it."""
    make(local / 'mitosis')
    with pytest.raises(client.StartError, match='it is not a folder of this user alone'):
        runtime.folder()
    assert runtime.existing_client() is None
    with pytest.raises(client.StartError):
        runtime.client(os.getpid())
