"""Files to and from contexts, for a connection."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.utils.display import Display

from ...mitogen_core.controller.client import SMALL_FILE, Client, chunks
from ...mitogen_core.controller.log import one_line
from ...mitogen_core.wire.errors import CallError
from . import _runtime
from ._news import News

display = Display()


class _Read(NamedTuple):
    """The request of a file's first bytes."""

    path: str
    client: Client
    context: int
    handle: int


class Transfers:
    """Mixin of connections."""

    alone: Any
    _context: Any
    _play_context: Any
    for_modules_only: Any
    get_option: Any
    put_later: Any
    settle: Any
    transport: str
    # A file that will be wanted, and the request of it.
    _wanted: str | None = None
    _read: _Read | None = None

    def will_fetch(self, path: str) -> None:
        """The next module's answer may have this file fetched: if it is a small one, it comes along."""
        self._wanted = path

    def read_ahead(self, client: Client) -> None:
        """Ask for the file that will be wanted, if there is one."""
        path, self._wanted = self._wanted, None
        if path is not None:
            context = self._context(client)
            handle = client.start(context, 'files', 'read', {
                'path': path, 'offset': 0, 'size': SMALL_FILE, 'regular': True})
            self._read = _Read(path, client, context, handle)

    def forget_read(self) -> None:
        """What was asked for is not wanted any more."""
        read, self._read, self._wanted = self._read, None, None
        if read:
            read.client.forget(read.handle)

    def _take_read(self, path: str, client: Client, context: int) -> tuple[int, bytes] | None:
        """The answer to what was asked for ahead, if that was this file."""
        read = self._read
        if read and read[:3] == (path, client, context):
            self._read = None
            with contextlib.suppress(CallError):
                return client.wait(read.handle, f'reading {path}')
        return None

    def copies_modes(self) -> bool:
        """Does the stock plugin copy files as sftp and scp do?  Others write them as any program does."""
        return self.transport == 'ssh' and self.get_option('ssh_transfer_method') != 'piped'

    def _put(self, client: Client, in_path: str, out_path: str) -> None:
        self.for_modules_only()
        display.vvv(f'PUT {in_path} TO {out_path}', host=self._play_context.remote_addr)
        if not os.path.exists(in_path):
            raise AnsibleFileNotFound(f'file or module does not exist: {in_path}')
        context = self._context(client)
        try:
            if self.put_later(client, context, in_path, out_path):
                return
            self.alone(client)
            with open(in_path, 'rb') as source:
                status = os.fstat(source.fileno())
                content = News(self).watch(chunks(source), in_path, status.st_size)
                client.put(context, out_path, content, stat.S_IMODE(status.st_mode) & 0o777)
        except (CallError, OSError) as e:
            raise AnsibleError(f'failed to transfer file to {in_path} {out_path}:\n{one_line(str(e))}') from None

    def _fetch(self, client: Client, in_path: str, out_path: str) -> None:
        display.vvv(f'FETCH {in_path} TO {out_path}', host=self._play_context.remote_addr)
        self.settle(client)
        item = _runtime.item()
        if item:
            item.turn()
        context = self._context(client)
        try:
            pieces = client.pieces(context, in_path, self._take_read(in_path, client, context))
            mode, chunk = next(pieces)
            if not self.copies_modes():
                mode = 0o666
            with whole(out_path, mode | 0o200) as target:
                target.write(chunk)
                for chunk in News(self).watch((data for _mode, data in pieces), in_path, 0):
                    target.write(chunk)
        except (CallError, OSError) as e:
            raise AnsibleError(f'failed to transfer file to {in_path} {out_path}:\n{one_line(str(e))}') from None


@contextlib.contextmanager
def whole(path: str, mode: int) -> Iterator[BinaryIO]:
    """A file to write, that gets its name when all of it is there; a new one has this mode, less the umask."""
    path = os.path.realpath(path)
    try:
        old = os.stat(path)
    except OSError:
        old = None
    plain = old is None or stat.S_ISREG(old.st_mode)
    try:
        fd, part = tempfile.mkstemp(prefix=f'.{os.path.basename(path)[:200]}.', dir=os.path.dirname(path)) \
            if plain else (-1, '')
    except OSError:  # its folder is not ours to write to, but perhaps it is
        plain = False
    if not plain:
        with open(path, 'wb') as target:
            yield target
        return
    try:
        with open(fd, 'wb') as target:
            yield target
            os.fchmod(fd, stat.S_IMODE(old.st_mode) if old else mode & ~_umask())
        _into_place(part, path, old)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _into_place(part: str, path: str, old: os.stat_result | None) -> None:
    """Give a whole file its name; one that has other names, or another owner, gets its content."""
    if old is None or (old.st_nlink == 1 and (old.st_uid, old.st_gid) == (os.geteuid(), os.getegid())):
        os.replace(part, path)
    else:
        shutil.copyfile(part, path)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
