"""A file that is fetched gets its name when all of it is there."""

from __future__ import annotations

import os
import pathlib
import stat
import threading

import pytest

from tests.support import collection

transfers = collection.load('plugins.plugin_utils._transfers')


def write(path: pathlib.Path, data: bytes = b'new', mode: int = 0o640) -> None:
    with transfers.whole(str(path), mode) as target:
        target.write(data)


@pytest.fixture(autouse=True)
def umask():
    old = os.umask(0o022)
    yield
    assert os.umask(old) == 0o022


@pytest.mark.parametrize(('mode', 'got'), [(0o640, 0o640), (0o666, 0o644), (0o200, 0o200)])
def test_new(tmp_path, mode: int, got: int):
    write(tmp_path / 'file', mode=mode)
    assert stat.S_IMODE(os.stat(tmp_path / 'file').st_mode) == got
    assert os.listdir(tmp_path) == ['file']


def test_over_another(tmp_path):
    """Its mode stays."""
    (tmp_path / 'file').write_bytes(b'old and longer')
    (tmp_path / 'file').chmod(0o600)
    write(tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == b'new'
    assert stat.S_IMODE(os.stat(tmp_path / 'file').st_mode) == 0o600


@pytest.mark.parametrize('there', [b'old', None])
def test_broken_off(tmp_path, there: bytes | None):
    if there is not None:
        (tmp_path / 'file').write_bytes(there)
    before = set(os.listdir('/dev/fd'))
    with pytest.raises(OSError, match='gone'), transfers.whole(str(tmp_path / 'file'), 0o644) as target:
        target.write(b'half')
        target.flush()
        raise OSError('gone')
    assert os.listdir(tmp_path) == (['file'] if there else [])
    assert there is None or (tmp_path / 'file').read_bytes() == there
    assert set(os.listdir('/dev/fd')) == before


def test_links(tmp_path):
    """A link stays one, and another name has the same file."""
    (tmp_path / 'file').write_bytes(b'old')
    (tmp_path / 'link').symlink_to('file')
    (tmp_path / 'name').hardlink_to(tmp_path / 'file')
    (tmp_path / 'dangling').symlink_to('nowhere')
    write(tmp_path / 'link')
    write(tmp_path / 'dangling')
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'name').read_bytes() == b'new'
    assert (tmp_path / 'file').samefile(tmp_path / 'name') and (tmp_path / 'nowhere').read_bytes() == b'new'
    assert sorted(os.listdir(tmp_path)) == ['dangling', 'file', 'link', 'name', 'nowhere']


def test_long_name(tmp_path):
    write(tmp_path / ('x' * 255))
    assert os.listdir(tmp_path) == ['x' * 255]


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / 'fifo')
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / 'fifo').read_bytes()))
    reader.start()
    write(tmp_path / 'fifo')
    reader.join(20)
    assert found == [b'new'] and stat.S_ISFIFO(os.stat(tmp_path / 'fifo').st_mode)


@pytest.mark.parametrize('path', ['nowhere/file', '.'])
def test_no_place(tmp_path, path: str):
    with pytest.raises(OSError):
        write(tmp_path / path)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_ours(tmp_path, monkeypatch):
    """Nothing can be made beside it, but the file can be written."""
    (tmp_path / 'file').write_bytes(b'old')

    def refuse(*args, **kwargs):
        raise PermissionError
    monkeypatch.setattr(transfers.tempfile, 'mkstemp', refuse)
    write(tmp_path / 'file')
    assert (tmp_path / 'file').read_bytes() == b'new'
