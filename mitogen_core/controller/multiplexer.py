"""The multiplexer: the process on the controller that owns the links to all targets.

Ansible's workers come and go, one for each task; each is a client on a Unix socket.  The multiplexer keeps the contexts
that they use, starts those that are missing, and passes frames on.  It imports nothing of Ansible, and ends with the
run that started it.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Callable
from typing import Any

from ..remote.children import Reaper
from ..remote.link import SILENT, Link
from ..remote.loop import Loop
from ..wire.constants import (
    ADD_ROUTE,
    ALIVE,
    ALLOCATE_ID,
    CALL_SERVICE,
    CANCEL,
    DEL_ROUTE,
    FIRST_CLIENT,
    FIRST_DYNAMIC,
    FORWARD_LOG,
    FORWARD_MODULE,
    GET_MODULE,
    HELLO,
    IS_DEAD,
    PUBLISH,
    ROOT,
)
from ..wire.errors import ProtocolError
from ..wire.frames import Frame
from ..wire.hello import check_hello, hello
from ..wire.payloads import MORE, Assembler, frames, is_last, is_piece, pack, unpack
from ..wire.py23 import to_text
from ..wire.router import DELIVER, REFUSE, UP, Router
from . import bootstrap
from .calls import ClientCall, OwnCall, Pending, Requests
from .channels import Channels
from .client import is_ours
from .contexts import Contexts
from .log import Log, harmless
from .modules import Modules
from .status import Status

# What a target may have the multiplexer keep of its unfinished messages; those for workers are only passed on.
MAX_NEWS = 4 << 20
# How long nobody new is let in where there are no more descriptors.
FULL_SECONDS = 0.1


class Multiplexer:
    def __init__(self, listener: socket.socket, log: Log, folder: str = '') -> None:
        self.folder = folder
        self.loop = Loop()
        self.log = log
        self.reaper = Reaper(self.loop)
        self.router = Router(ROOT)
        self.boot = {'code': bootstrap.boot_code(), 'parent': ROOT, 'alive': ALIVE,
                     'late': {service: digest for service, (digest, _blob) in bootstrap.late_code().items()}}
        self.clients: dict[int, Link] = {}
        self.children: dict[int, Any] = {}
        self.pending, self.calls = Requests(), Requests()
        self.own: dict[int, tuple[int, OwnCall]] = {}
        self.assemblers: dict[int, Assembler] = {}
        self._client_ids = itertools.count(FIRST_CLIENT)
        self._context_ids = itertools.count(1)
        self._handles = itertools.count(FIRST_DYNAMIC)
        self.contexts = Contexts(self)
        self.modules = Modules(self)
        self.channels = Channels(self)
        log.listener = self.channels.tell_log
        self.status = Status(self)
        self.services: dict[str, Any] = {'contexts': self.contexts, 'modules': self.modules, 'channels': self.channels,
                                         'status': self.status}
        self.profile: Any = None
        # RLIMIT_CORE for what is started, where this process has one of its own.
        self.core_limit: tuple[int, int] | None = None
        self.listener = listener
        listener.setblocking(False)
        self._listen()

    id = ROOT

    def new_context_id(self) -> int:
        return next(self._context_ids)

    # clients

    def _listen(self) -> None:
        self.loop.watch(self.listener.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            connection, _address = self.listener.accept()
        except OSError as e:
            if e.errno in (errno.EMFILE, errno.ENFILE):
                # The loop would tell of it again and again; until others end, it waits.
                self.loop.watch(self.listener.fileno())
                self.loop.later(FULL_SECONDS, self._listen)
            return
        if not is_ours(connection):
            self.log.write(40, 'a process of another user tried to connect')
            connection.close()
            return
        fd = connection.detach()
        client = next(self._client_ids)
        link = Link(self.loop, fd, fd, self._on_client_frame, self._on_client_close, client)
        self.clients[client] = link
        self.assemblers[client] = Assembler()

    def _on_client_frame(self, link: Link, frame: Frame) -> None:
        frame.src = link.name
        frame.auth = ROOT
        if link.state == 'booting':
            if frame.handle != HELLO:
                raise ProtocolError('a frame before the hello')
            check_hello(unpack(frame.payload)[0])
            link.event('hello')
            link.send(Frame(link.name, ROOT, HELLO, 0, pack(hello(ROOT, os.getpid(), child=link.name))))
            return
        if frame.dst == ROOT:
            message = self.assemblers[link.name].feed(frame)
            if message is not None:
                self._serve(link, frame, *message)
            return
        self.forward(frame, link)

    def forward(self, frame: Frame, client: Link | None = None) -> None:
        """Pass a client's frame on to a context, and note that an answer is due."""
        target = self.router.link_of(frame.dst)
        if target is None:
            if not is_piece(frame.payload):
                self.dead(frame.src, frame.reply_to, f'context {frame.dst} is gone')
            return
        if frame.reply_to:
            self.pending[frame.src, frame.reply_to] = Pending(frame.dst, self.loop.clock())
            self.contexts.use(frame.dst, frame.src)
        elif frame.handle == CANCEL:
            self.pending.pop((frame.src, unpack(frame.payload)[0]), None)
        link = self.children[target].link
        if client is None:
            link.send(frame)
        else:
            link.pass_on(frame, client)

    def dead(self, client: int, handle: int, reason: str) -> None:
        """Tell a client that no answer will come."""
        if handle and client in self.clients:
            self.clients[client].send(Frame(client, ROOT, handle, IS_DEAD, pack(harmless(reason))))

    def _on_client_close(self, link: Link, reason: str) -> None:
        client = link.name
        del self.clients[client], self.assemblers[client]
        for key, (context, _since) in self.pending.of(client):
            target = self.router.link_of(context)
            # Telling one may end its link, and so other requests.
            if self.pending.pop(key, None) is not None and target is not None:
                self.children[target].link.send(Frame(context, client, CANCEL, 0, pack(key[1])))
        for _key, call in self.calls.of(client):
            call.cancel()
        self.contexts.client_gone(client)

    def _serve(self, link: Link, frame: Frame, head: Any, bulk: bytes) -> None:
        if frame.handle == FORWARD_MODULE:
            self.modules.add(head['digest'], bulk)
            return
        if frame.handle == CANCEL:
            waiting = self.calls.get((link.name, head))
            if waiting:
                waiting.cancel()
            return
        call = ClientCall(self, link.name, frame.reply_to)
        if frame.handle == ALLOCATE_ID:
            call.reply(self.new_context_id())
            return
        try:
            if frame.handle != CALL_SERVICE:
                raise KeyError(frame.handle)
            service, method, args = head
            handler = getattr(self.services[service], 'do_' + method)
        except (ValueError, TypeError, KeyError, AttributeError):
            # Without its arguments, in which a password may be.
            names = [name for name in head[:2] if isinstance(name, str)] if isinstance(head, list) else []
            call.fail('service', f'no such service: {".".join(names):.200}')
            return
        try:
            handler(call, args, bulk)
        except Exception as e:
            self.log.error(f'{service}.{method}')
            call.fail('internal', f'{type(e).__name__}: {e}')

    # contexts

    def call(self, context: int, service: str, method: str, args: dict[str, Any],
             on_done: Callable[[str, Any, bytes], None],
             on_progress: Callable[[Any, bytes], None] | None = None, bulk: bytes = b'') -> None:
        """Call a service of a context; on_done(kind, value, bulk) with kind 'ok', 'error' or 'dead'."""
        target = self.router.link_of(context)
        if target is None:
            on_done('dead', f'context {context} is gone', b'')
            return
        self.modules.forward_service(service, target)
        if target not in self.children:  # it ended while it was being sent the code
            on_done('dead', f'context {context} is gone', b'')
            return
        handle = next(self._handles)
        self.own[handle] = (context, OwnCall(on_done, on_progress))
        self.children[target].link.send(
            *frames(context, ROOT, CALL_SERVICE, handle, [service, method, args], bulk))

    def on_frame(self, link: Link, frame: Frame) -> None:
        """A frame from a child context."""
        if link.state == 'booting':
            if frame.handle != HELLO:
                raise ProtocolError('a frame before the hello')
            link.event('hello')
            self.children[link.name].on_hello(unpack(frame.payload)[0])
            return
        link.event('frame')
        decision, where = self.router.decide(frame, link.name)
        if decision == DELIVER:
            try:
                self._deliver(link, frame)
            except Exception as e:
                if frame.src == link.name:
                    raise
                self._expel(frame.src, f'{e}' if isinstance(e, ProtocolError) else f'unusable message: {e!r:.200}')
        elif decision == UP and self._answers(frame):
            if is_last(frame.payload):
                del self.pending[frame.dst, frame.handle]
            self.clients[frame.dst].pass_on(frame, link)
        else:
            if decision != REFUSE and frame.dst >= FIRST_CLIENT:
                return  # an answer that came after its asker had gone
            name = self.contexts.name_of(link.name)
            self.log.about(name, 30, f'refused {frame!r} from {name}: {where}')

    def _answers(self, frame: Frame) -> bool:
        asked = self.pending.get((frame.dst, frame.handle))
        return frame.dst in self.clients and asked is not None and asked.context == frame.src

    def _deliver(self, link: Link, frame: Frame) -> None:
        if frame.handle >= FIRST_DYNAMIC:
            self._own_answer(link, frame)
            return
        message = self._assemble(frame)
        if message is None:
            return
        head, bulk = message
        if frame.handle == ADD_ROUTE:
            if not self.contexts.expects(head['id'], frame.src):
                raise ProtocolError(f'a route for context {head["id"]!r:.20}, which was not asked for here')
            self.add_route(head['id'], link.name)
        elif frame.handle == DEL_ROUTE:
            if self.router.link_of(head['id']) == link.name != head['id']:
                self.router.remove(head['id'], link.name)
                self.context_gone(head['id'], to_text(head.get('reason', '')))
        elif frame.handle == GET_MODULE:
            self.modules.send(link, frame.src, head)
        elif frame.handle == PUBLISH:
            self.channels.published(frame.src, head, bulk, link.keep)
        elif frame.handle == FORWARD_LOG:
            self.log.remote(self.contexts.name_of(frame.src), head)
        else:
            name = self.contexts.name_of(link.name)
            self.log.about(name, 30, f'no use for {frame!r} from {name}')

    def _assemble(self, frame: Frame) -> tuple[Any, bytes] | None:
        """What a context says, when that is whole."""
        message: tuple[Any, bytes] | None = self.assemblers.setdefault(frame.src, Assembler(MAX_NEWS)).feed(frame)
        return message

    def _expel(self, context: int, reason: str) -> None:
        """End a context that has others between itself and here, and says what can't be: their link stays."""
        name = self.contexts.name_of(context)
        self.log.about(name, 30, f'{name}: {reason}')
        self.contexts.end(context)
        self.context_gone(context, reason)

    def _own_answer(self, link: Link, frame: Frame) -> None:
        context, call = self.own.get(frame.handle, (0, None))
        if call is None or context != frame.src:
            return
        kind: Any
        value: Any
        if frame.reply_to == IS_DEAD:
            (kind, value), bulk = ('dead', harmless(unpack(frame.payload)[0])), b''
        else:
            message = self._assemble(frame)
            if message is None:
                return
            (kind, value), bulk = message
        if kind == 'progress':
            if call.on_progress:
                call.on_progress(value, bulk)
            return
        if kind == 'error':
            value = {'kind': harmless(value['kind']), 'text': harmless(value['text'])}
        elif kind not in ('ok', 'dead'):
            raise ProtocolError('an answer that is none')
        del self.own[frame.handle]
        try:
            call.on_done(kind, value, bulk)
        except Exception:
            # Not what was asked for: the link is about to end, and so will this be told of it.
            self.own[frame.handle] = context, call
            raise

    def add_route(self, context: int, link_name: int) -> None:
        self.router.add(context, link_name)
        self.channels.joined(context)
        if self.profile:
            self.profile.joined(context)

    def on_close(self, link: Link, reason: str) -> None:
        """A child context's link is closed."""
        self.modules.forget(link.name)
        child = self.children.pop(link.name, None)
        gone = self.router.remove_link(link.name)
        if child is None:
            return

        names = {context: self.contexts.name_of(context) for context in gone}
        for context in gone:
            self._forget(context)  # at once: nobody is to be given it any more

        def tell(reason: str) -> None:
            for context, name in names.items():
                lost = '' if context == link.name else f'lost with {names.get(link.name, "its hop")}: '
                self._mourn(context, f'{name}: {lost}{reason}')
        child.on_end(reason)
        child.when_ended(tell)

    def on_silence(self, link: Link, seconds: float, over: bool) -> None:
        """The first context behind a login says nothing, or does so again: see Link.keep_alive."""
        child, name = self.children[link.name], self.contexts.name_of(link.name)
        if over:
            child.abort(SILENT % seconds)
            return
        self.log.write(30, f'{name}: {SILENT % seconds if seconds else "it is back"}')
        # A client that turns out to be gone takes what it waits for along.
        for (client, handle), (context, _since) in list(self.pending.items()):
            if client in self.clients and self.router.link_of(context) == link.name:
                news = ['progress', {'silent': int(seconds), 'name': name}]
                self.clients[client].send(*frames(client, ROOT, handle, 0, news, b'', MORE))

    def context_gone(self, context: int, reason: str) -> None:
        """No answer will come from this context any more."""
        name = self.contexts.name_of(context)
        self._forget(context)
        self._mourn(context, f'{name}: {reason}')

    def _forget(self, context: int) -> None:
        self.assemblers.pop(context, None)
        self.contexts.forget(context)
        self.channels.gone(context)

    def _mourn(self, context: int, text: str) -> None:
        """Tell all who wait for this context."""
        for (client, handle), (callee, _since) in list(self.pending.items()):
            # Telling one may end its link, and so its other requests.
            if callee == context and self.pending.pop((client, handle), None) is not None:
                self.dead(client, handle, text)
        for own, (callee, call) in list(self.own.items()):
            if callee == context and own in self.own:
                del self.own[own]
                call.on_done('dead', text, b'')

    # life

    def serve_while(self, condition: Callable[[], bool], seconds: float) -> None:
        """Serve as long as it is so, but no longer than so many seconds."""
        deadline = self.loop.clock() + seconds
        timer = self.loop.later(seconds, lambda: None)
        while condition() and self.loop.clock() < deadline:
            self.loop.step()
        self.loop.cancel(timer)

    def run(self) -> None:
        """Serve until loop.stop(), then end all contexts in order."""
        self.loop.run()
        self.listener.close()
        if self.profile:
            self.profile.end()
        for child in list(self.children.values()):
            child.end()
        self.serve_while(lambda: bool(self.contexts.processes), 3)
        for child in list(self.contexts.processes):
            child.kill()
