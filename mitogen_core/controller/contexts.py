"""The `contexts` service: finds or starts the context of an account, by a chain of hops.

A chain is a list of {'key': text, 'spec': dict or None, 'login': bool}.  Each hop is a command that is run by the
context before it, the first one by the multiplexer: a login (to another host), an escalation, another interpreter.
Equal keys share a context; a key covers all that makes a difference, credentials included.  A client that believes a
context to be there sends no spec.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..wire.hello import check_child
from ..wire.payloads import PIECE_COST
from . import bootstrap
from .login import Login, LoginCall, has_room

MAX_KEPT = 1 << 16
# Of what a command says before it runs our code, so many bytes are passed on.
MAX_SAID = 1 << 20


class Slot:
    """One context, from the wish for it to its end."""

    def __init__(self, path: tuple[str, ...], name: str, login: bool) -> None:
        self.path, self.name, self.login = path, name, login
        self.id = 0
        self.hello: dict[str, Any] | None = None
        self.waiting: list[Walk] = []
        self.token = 0
        self.out = self.err = b''
        self.said = 0
        self.rc: int | None = None
        # Seconds without a word after which its command is given up, and the timer for that.
        self.silence: float | None = None
        self.timer: Any = None
        # Who may be using it, and when it was used last, in an order of its own.
        self.clients: set[int] = set()
        self.used = 0
        # Of a login: so many other contexts of its host are kept while they are idle.
        self.most: int | None = None
        # May it ask for something that the client who started it knows?
        self.asks = False


class Walk:
    """A client's request on its way along a chain."""

    def __init__(self, call: Any, chain: list[dict[str, Any]]) -> None:
        self.call, self.chain = call, chain
        self.ids: list[int] = []
        self.hellos: list[dict[str, Any]] = []


class Contexts:
    def __init__(self, mux: Any) -> None:
        self.mux = mux
        self.slots: dict[tuple[str, ...], Slot] = {}
        self.by_id: dict[int, Slot] = {}
        self.by_token: dict[int, Slot] = {}
        # Who was asked to start a context, as long as that may be there.
        self.parents: dict[int, int] = {}
        self.processes: set[Login] = set()
        self.used_by: dict[int, set[Slot]] = {}
        self._tokens = self._uses = 0

    # the service

    def do_get(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """args: chain.  Answers with ids and hellos, a list each, for every hop.

        Errors: 'need-spec'; 'exit' (the command ended), 'timeout', 'boot', 'no-python', each with rc, out and err;
        'retry' where another client's attempt was given up.  Progress: what a command says before our code runs there.
        """
        self._walk(Walk(call, args['chain']))

    def do_input(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """Answer a prompt: the bulk goes to the command that args['token'] names."""
        slot = self.by_token.get(args['token'])
        if slot:
            parent = self._parent(slot)
            if parent:
                self.mux.call(parent.id, 'contexts', 'input', {'id': slot.id}, lambda *_: None, bulk=bulk)
            else:
                self.mux.children[slot.id].write(bulk)
        call.reply()

    def do_escalated(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """The command that args['token'] names runs as another account by now: its silence is that of our code."""
        slot = self.by_token.get(args['token'])
        if slot:
            slot.silence = None
            self._listen(slot)
        call.reply()

    def do_abort(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """Give up a command: args token, kind and text, which all who wait for it get as their error."""
        slot = self.by_token.get(args['token'])
        if slot:
            self._end(slot)
            self.failed(slot, args['kind'], args['text'])
        call.reply()

    def do_reset(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """End the login of args['keys'] and all that hangs on it; answers when it is gone."""
        slot = self.slots.get(tuple(args['keys']))
        parent = slot and self._parent(slot)
        if slot and parent and slot.hello:
            self._retire(slot, parent, lambda *_: call.reply(True))
        elif slot and slot.id in self.mux.children:
            self.mux.children[slot.id].end(lambda: call.reply(True))
        else:
            call.reply(False)

    def do_release(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """End the contexts of args['users'] (names of accounts) on the host of the chain args['keep'] (keys), but for
        those on that chain and those with work under way; answers with their number when they are gone."""
        keep, users = tuple(args['keep']), set(args['users'])
        host = self._host(keep)
        ending = [slot for path, slot in self.slots.items()
                  if not slot.login and path != keep[:len(path)] and slot.hello and slot.hello.get('user') in users
                  and (self._login(path) is self._login(keep) or (host and self._host(path) == host))]
        # What hangs on one that ends, or is one with it, ends with it.
        parents = [(slot, self._parent(slot)) for slot in ending]
        ends = [(slot, parent) for slot, parent in parents
                if parent and parent.id != slot.id and parent not in ending and self._idle(slot.path)]
        left = len(ends)

        def ended(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                call.reply(len(ends))
        for slot, parent in ends:
            self._retire(slot, parent, ended)
        if not ends:
            call.reply(0)

    def _retire(self, slot: Slot, parent: Slot, ended: Callable[..., None]) -> None:
        """End a context that is ready; ended(...) is called when it is gone."""
        for each in self._below(slot.path):  # nobody is to be given them any more
            if each.hello is None:
                self.failed(each, 'retry', 'what it was to hang on is ended')
            else:
                self._drop(each)
        self.mux.call(parent.id, 'contexts', 'end', {'id': slot.id, 'wait': True}, ended)

    def _below(self, path: tuple[str, ...]) -> list[Slot]:
        return [slot for other, slot in self.slots.items() if other[:len(path)] == path]

    def _idle(self, path: tuple[str, ...]) -> bool:
        """Is nothing under way in the context at the end of a path, nor below?"""
        busy = {asked.context for asked in self.mux.pending.values()}
        return all(slot.hello is not None and slot.id not in busy for slot in self._below(path))

    def _host(self, path: tuple[str, ...]) -> str:
        """What the host that a path leads to calls itself, if it is known."""
        login = self._login(path)
        return str((login.hello or {}).get('host', '')) if login else ''

    def _login(self, path: tuple[str, ...]) -> Slot | None:
        """The last login on a path."""
        slots = (self.slots.get(path[:length]) for length in range(len(path), 0, -1))
        return next((slot for slot in slots if slot and slot.login), None)

    def lookup(self, keys: list[str]) -> int | None:
        """The id of the context at the end of a chain, if it is ready."""
        slot = self.slots.get(tuple(keys))
        return slot.id if slot and slot.hello is not None else None

    def expects(self, context: int, by: int) -> bool:
        """Was the context `by` asked to start this one?"""
        return self.parents.get(context) == by

    def end(self, context: int) -> None:
        """Have a context ended by the one that was asked to start it."""
        if context in self.parents:
            self.mux.call(self.parents[context], 'contexts', 'end', {'id': context}, lambda *_: None)

    # hops

    def _walk(self, walk: Walk) -> None:
        """Take the next step along a chain."""
        if not walk.call.waiting:
            return
        index = len(walk.ids)
        if index == len(walk.chain):
            walk.call.reply({'ids': walk.ids, 'hellos': walk.hellos})
            return
        hop = walk.chain[index]
        path = tuple(h['key'] for h in walk.chain[:index + 1])
        slot = self.slots.get(path)
        if slot is None:
            if hop.get('spec') is None:
                walk.call.fail('need-spec', 'no such context', hop=index)
                return
            slot = self.slots[path] = Slot(path, self._full_name(path, hop), bool(hop.get('login', not index)))
            slot.most, slot.asks = hop['spec'].get('most'), bool(hop['spec'].get('tty'))
            slot.waiting.append(walk)
            if not slot.login:
                self._make_room(path)
            self._start(slot, hop['spec'], walk.ids)
        elif slot.hello is None:
            slot.waiting.append(walk)
        else:
            self._pass(walk, slot)

    def _pass(self, walk: Walk, slot: Slot) -> None:
        self.use(slot.id, walk.call.client)
        walk.ids.append(slot.id)
        walk.hellos.append(slot.hello or {})
        self._walk(walk)

    def _full_name(self, path: tuple[str, ...], hop: dict[str, Any]) -> str:
        """A login from another host says so."""
        before = self._login(path[:-1]) if hop.get('login') else None
        return f'{hop["spec"]["name"]}{f" through {before.name}" if before else ""}'

    def use(self, context: int, client: int) -> None:
        """A client is about to use a context."""
        slot = self.by_id.get(context)
        if slot:
            self._uses += 1
            slot.used = self._uses
            slot.clients.add(client)
            self.used_by.setdefault(client, set()).add(slot)

    def _make_room(self, path: tuple[str, ...]) -> None:
        """Where a host has more contexts than are to be kept, end those that were used longest ago, of those that
        nobody uses."""
        login = self._login(path)
        if login is None or login.most is None:
            return
        others = [slot for slot in self._below(login.path) if slot is not login and self.by_id.get(slot.id) is slot
                  and self._login(slot.path) is login]
        idle = [slot for slot in others if slot.path != path[:len(slot.path)] and not slot.clients
                and self._idle(slot.path) and all(below.id == slot.id for below in self._below(slot.path))]
        too_many = len(others) + 1 - login.most
        for slot in sorted(idle, key=lambda slot: slot.used)[:max(too_many, 0)]:
            parent = self._parent(slot)
            if parent:
                self.mux.log.write(20, f'{slot.name} is ended: {login.name} has more contexts than {login.most}')
                self._retire(slot, parent, lambda *_: None)

    def _start(self, slot: Slot, spec: dict[str, Any], ids: list[int]) -> None:
        self._tokens += 1
        slot.token = self._tokens
        self.by_token[slot.token] = slot
        if not ids:
            self._spawn(slot, spec, 0)
        elif spec.get('interpreter'):
            def answered(kind: str, value: Any, bulk: bytes) -> None:
                parent = self.by_id.get(ids[-1])
                if kind == 'ok' and value and parent and parent.hello:
                    slot.id = parent.id
                    self.ready(slot, parent.hello)
                elif kind == 'ok':
                    self._spawn(slot, spec, ids[-1])
                else:
                    self.failed(slot, 'retry', 'the context is gone')
            self.mux.call(ids[-1], 'contexts', 'same_interpreter', {'path': spec['interpreter']}, answered)
        else:
            self._spawn(slot, spec, ids[-1])

    def _spawn(self, slot: Slot, spec: dict[str, Any], parent: int) -> None:
        slot.id = self.mux.new_context_id()
        self.by_id[slot.id] = slot
        names = ('argv', 'env', 'password', 'password_fd', 'tty', 'cwd', 'timeout', 'alive')
        args: dict[str, Any] = {name: spec[name] for name in names if name in spec}
        args['id'] = slot.id
        if not parent:
            if not has_room(len(self.mux.children)):
                self.failed(slot, 'exit', 'no descriptors are left for another login; `ulimit -n` gives more')
                return
            try:
                self.mux.children[slot.id] = Login(self.mux, LoginCall(self, slot), args)
            except OSError as e:
                self.failed(slot, 'exit', f'{spec["argv"][0]}: {e.strerror}')
            return

        self.parents[slot.id] = parent
        slot.silence = spec.get('silence')
        self._listen(slot)

        self.mux.call(parent, 'contexts', 'spawn', args, lambda kind, value, bulk: self.spawned(slot, kind, value),
                      lambda head, bulk: self.progress(slot, head, bulk))

    def _listen(self, slot: Slot) -> None:
        """Let the time for a word from a slot's command begin anew, if there is one."""
        self.mux.loop.cancel(slot.timer)
        slot.timer = None
        if slot.silence:
            def silent() -> None:
                self._end(slot)
                self.failed(slot, 'timeout', f'not a word for {slot.silence} s')
            slot.timer = self.mux.loop.later(slot.silence, silent)

    # what becomes of a slot

    def spawned(self, slot: Slot, kind: str, value: Any) -> None:
        """The answer of the context before it."""
        if kind == 'ok' and self.mux.router.link_of(slot.id) is not None:
            self.ready(slot, check_child(value))
        elif kind == 'ok':
            self.failed(slot, 'retry', 'nothing leads to it')
        elif kind == 'error':
            self.failed(slot, value['kind'], value['text'])
        else:
            self.failed(slot, 'retry', str(value))

    def progress(self, slot: Slot, head: dict[str, Any], bulk: bytes) -> None:
        self._listen(slot)
        # pylint: disable=unidiomatic-typecheck
        head = {key: head[key] for key in ('rc', 'stream') if type(head.get(key)) is int}
        if 'rc' in head:
            slot.rc = head['rc']
        elif head.get('stream') == 1:
            slot.out = (slot.out + bulk)[-MAX_KEPT:]
        elif head.get('stream') == 2:
            slot.err = (slot.err + bulk)[-MAX_KEPT:]
        slot.said += len(bulk) + PIECE_COST
        for walk in slot.waiting[:1] if slot.said <= MAX_SAID else ():
            walk.call.progress(dict(head, token=slot.token, hop=len(slot.path) - 1), bulk)

    def ready(self, slot: Slot, hello: dict[str, Any]) -> None:
        slot.hello = hello
        self.by_token.pop(slot.token, None)
        self.mux.loop.cancel(slot.timer)
        slot.out = slot.err = b''
        self.mux.log.write(20, f'{slot.name} is ready: {hello.get("user")}@{hello.get("host")}, pid {hello.get("pid")}')
        waiting, slot.waiting = slot.waiting, []
        for walk in waiting:
            self._pass(walk, slot)

    def failed(self, slot: Slot, kind: str, text: str) -> None:
        if self.slots.get(slot.path) is not slot:
            return
        if bootstrap.NO_PYTHON.encode() in slot.out:
            kind, text = 'no-python', 'there is no Python'
        self._drop(slot)
        self.mux.log.write(30, f'{slot.name}: {kind}: {text}')
        waiting, slot.waiting = slot.waiting, []
        for walk in waiting:
            walk.call.fail(kind, text if kind == 'password' else f'{slot.name}: {text}',
                           hop=len(slot.path) - 1, rc=slot.rc, out=slot.out, err=slot.err)

    def forget(self, context: int) -> None:
        """A context that was ready, or was about to be, is gone."""
        self.parents.pop(context, None)
        for slot in [slot for slot in self.slots.values() if slot.id == context]:
            if slot.hello is None:
                self.failed(slot, 'retry', 'the link ended')
            else:
                self._drop(slot)

    def client_gone(self, client: int) -> None:
        """Commands that wait for this client's word on a prompt are given up."""
        for slot in self.used_by.pop(client, ()):
            slot.clients.discard(client)
        for slot in list(self.by_token.values()):
            leader = slot.waiting[0] if slot.waiting else None
            slot.waiting = [walk for walk in slot.waiting if walk.call.client != client]
            if leader and leader.call.client == client and (slot.asks or not slot.login):
                self._end(slot)
                self.failed(slot, 'retry', 'the attempt was given up')

    def _parent(self, slot: Slot) -> Slot | None:
        return self.slots.get(slot.path[:-1])

    def _end(self, slot: Slot) -> None:
        parent = self._parent(slot)
        if parent is None:
            child = self.mux.children.get(slot.id)
            if child:
                child.abort('given up')
        else:
            self.end(slot.id)

    def _drop(self, slot: Slot) -> None:
        self.mux.loop.cancel(slot.timer)
        if self.slots.get(slot.path) is slot:
            del self.slots[slot.path]
        self.by_token.pop(slot.token, None)
        while slot.clients:
            self.used_by[slot.clients.pop()].discard(slot)
        if self.by_id.get(slot.id) is slot:
            del self.by_id[slot.id]

    def name_of(self, context: int) -> str:
        slot = self.by_id.get(context)
        return slot.name if slot else f'context {context}'

    def describe(self) -> list[dict[str, Any]]:
        return [{'id': slot.id, 'name': slot.name, 'ready': slot.hello is not None,
                 **{key: (slot.hello or {}).get(key) for key in ('pid', 'user', 'host')}, 'hops': len(slot.path)}
                for slot in self.slots.values()]
