"""What the controller makes of what a target answers and tells: calls, files, logs, its state, profiles, news."""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import os
import pathlib
import tempfile
import types
import zlib
from collections.abc import Iterator
from typing import Any

from mitogen_core.controller import profile, report, status
from mitogen_core.controller.client import Client, answer_in
from mitogen_core.controller.log import Log
from mitogen_core.wire.constants import CHUNK
from mitogen_core.wire.errors import CallError, ChannelError, MitosisError, ProtocolError
from mitogen_core.wire.frames import Frame, FrameDecoder
from mitogen_core.wire.payloads import MORE, SIZE, Assembler, frames, pack, unpack
from tests.support import collection

LIMIT = 1 << 16
HANDLE = 1000
# A line of ours, at most: a text that was cut, made printable, with what is before it.
LONGEST_LINE = 10 * 8192


def printable(text: str) -> None:
    """No line of it makes a terminal do anything."""
    assert len(text) < LONGEST_LINE and all(line.isprintable() for line in text.split('\n')), text


def read_answer(data: bytes) -> Any:
    """Of a request of a worker: frames of all kinds."""
    assembler, found = Assembler(LIMIT), []
    try:
        for frame in FrameDecoder().feed(data):
            found.append(answer_in(frame, assembler, 'a module'))
            if found[-1] and found[-1][0] == 'progress' and frame.src:
                assert not set(found[-1][1]) & {'sent', 'silent'}
    except (CallError, ChannelError) as e:
        printable(str(e))
        raise
    return found


def answers() -> list[bytes]:
    made = [frames(0, 7, HANDLE, 0, head, b'bulk', flags) for head, flags in (
        (['ok', {'rc': 0, 'out': 4}], 0), (['progress', {'silent': 10, 'name': 'x'}], MORE),
        (['progress', {'live': 1}], MORE), (['error', {'kind': 'os', 'text': 'No such file\x1b[2J', 'rc': 1}], 0))]
    return [*(frame.encode() for one in made for frame in one),
            Frame(0, 0, HANDLE, 999, pack('context 7 is gone')).encode()]


class Reader(Client):
    """A client that gets these answers."""

    def __init__(self, answers: Iterator[tuple[Any, bytes]]) -> None:
        self._answers = answers

    def start(self, *args: Any, **kwargs: Any) -> int:
        return 0

    def wait(self, handle: int, what: str, *args: Any, **kwargs: Any) -> tuple[Any, bytes]:
        for head, bulk in self._answers:
            return head, bulk
        raise ChannelError('the end')


def read_file(data: bytes) -> bytes:
    """A file that is fetched: a head of the length of the first byte, then as much bulk as the next two say, again and
    again; a CHUNK where they say nothing."""
    def given() -> Iterator[tuple[Any, bytes]]:
        at = 0
        while len(data) - at > 3:
            size, length = data[at], int.from_bytes(data[at + 1:at + 3], 'big')
            head, _ = unpack(data[at + 3:at + 3 + size])
            at += 3 + size
            yield head, data[at:at + length] if length else bytes(CHUNK)
            at += length
    found = b''
    for mode, chunk in Reader(given()).pieces(7, '/etc/hostname'):
        assert type(mode) is int and len(chunk) <= CHUNK
        found += chunk
    return found


def files() -> list[bytes]:
    def one(head: Any, size: int) -> bytes:
        return bytes([len(pack(head))]) + size.to_bytes(2, 'big') + pack(head) + b'x' * size
    return [one(0o644, 5), one(0o600, 0) + one(0o600, 3), one('mode', 1), one({'path': '/etc/passwd'}, 2)]


def read_record(data: bytes) -> None:
    """A line of a target in the log."""
    log, lines = Log(''), []
    log.listener = lambda level, where, text: lines.append((where, text))
    log.remote('web1', unpack(data)[0])
    for where, text in lines:
        assert '\n' not in where + text
        printable(where + text)


def records() -> list[bytes]:
    return [pack(head) for head in ({'level': 30, 'name': 'mitogen.broker', 'text': 'disk is full\x1b[2J'},
                                    {'text': b'\xff'}, {'level': True, 'name': [1], 'text': {}}, [1])]


def read_status(data: bytes) -> None:
    """What a context says it is doing."""
    said = status.said(unpack(data)[0])
    context = {'id': 1, 'name': 'web1', 'ready': True, 'user': 'root', 'host': 'web1', 'pid': 1, 'hops': 1}
    tree = {'pid': 1, 'clients': 1, 'calls': [], 'modules': {'files': 1}, 'channels': [], 'links': {},
            'contexts': [dict(context, status=said)]}
    for line in report.lines(tree):
        assert line.isprintable() and len(line) < LONGEST_LINE


def states() -> list[bytes]:
    link = {'heard': 1.5, 'sent': 1, 'received': 2, 'queued': 0, 'held': 1, 'paused': True,
            'flows': [{'src': 1, 'dst': 2, 'publications': False, 'waiting': 1, 'under_way': 2}]}
    runner = {'pid': 2, 'executor': 3, 'busy': True, 'link': link}
    call = {'for': 1 << 31, 'handle': 1001, 'state': 'running\x1b[2J', 'seconds': 1.5}
    said = {'pid': 1, 'links': {'parent': link}, 'runners': [runner], 'files': 3, 'slots': ['x'], 'calls': [call]}
    return [pack(said), pack({'error': 'no'}), pack([said, said])]


@functools.cache
def profiles() -> tuple[pathlib.Path, profile.Contexts]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix='profiles-', dir=collection_folder()))
    found = object.__new__(profile.Contexts)
    found.folder = str(folder)
    found.mux = types.SimpleNamespace(log=types.SimpleNamespace(write=lambda level, text: None))
    return folder, found


def collection_folder() -> str:
    from tests.support.own_ansible import folder
    return str(folder)


def read_profile(data: bytes) -> None:
    """The first byte: is the rest JSON that is to be deflated?"""
    folder, found = profiles()
    found.told = collections.Counter()
    payload = data[1:]
    if data[:1] == b'z':
        payload = pack({'profile': 'broker', 'pid': 1}, zlib.compress(payload, 1))
    before = set(os.listdir(folder.parent))
    found.write('ssh to ../../x\x1b[2J', *unpack(payload))
    assert set(os.listdir(folder.parent)) == before
    for path in folder.iterdir():
        assert path.name.partition('-')[0] in profile.ROLES and path.suffix == '.prof' and path.is_file()
        path.unlink()


def profile_rows() -> list[bytes]:
    rows = json.dumps([['a.py', 1, 'f', 1, 1, 0.5, 0.5]]).encode()
    return [b'z' + rows, b'-' + pack({'profile': 'runner', 'pid': 1 << 40}, zlib.compress(rows)),
            b'-' + pack({'profile': '../x', 'pid': -1}, zlib.compress(rows)), b'z' + b'[' * 100]


@functools.cache
def news() -> tuple[Any, list[str]]:
    module, said = collection.load('plugins.plugin_utils._news'), []

    class News(module.News):  # type: ignore[misc]
        @staticmethod
        def _say(text: str, color: Any) -> None:
            said.append(text)
    return News, said


def read_news(data: bytes) -> None:
    """What is told on the terminal while a call runs: of this host, and by it."""
    News, said = news()
    said.clear()
    connection = types.SimpleNamespace(get_option=lambda name: 'web1' if name == 'mitosis_name' else True,
                                       _play_context=types.SimpleNamespace(no_log=False))
    with contextlib.suppress(CallError, ChannelError), News(connection) as told:
        assembler = Assembler(LIMIT)
        for frame in FrameDecoder().feed(data):
            frame.src = frame.src or 7  # the multiplexer speaks only for itself
            found = answer_in(frame, assembler, 'a module')
            if found and found[0] == 'progress':
                told(*found[1:])
    for text in said:
        assert text.isprintable() and text.startswith('web1 | ')


def lines() -> list[bytes]:
    return [b''.join(frame.encode() for stream in (1, 2) for frame in frames(
        0, 7, HANDLE, 0, ['progress', {'live': stream}], b'one\r\ntwo\x1b[31m\x1b]0;x\x07\xff', MORE)),
        frames(0, 0, HANDLE, 0, ['progress', {'silent': 10, 'name': 'ssh to web1\x1b[2J'}], b'', MORE)[0].encode(),
        Frame(0, 7, HANDLE, 0, SIZE.pack(MORE)).encode()]


TARGETS = {
    'answer': (read_answer, (MitosisError,), answers),
    'fetched': (read_file, (MitosisError,), files),
    'log': (read_record, (ProtocolError,), records),
    'status': (read_status, (ProtocolError,), states),
    'profile': (read_profile, (ProtocolError,), profile_rows),
    'news': (read_news, (ProtocolError,), lines),
}
