"""The `modules` service: has a context run a module, after sending it just the code that it lacks."""

from __future__ import annotations

import collections
from typing import Any

from ..remote.store import Store
from ..wire.constants import CALL_SERVICE, FORWARD_MODULE, LOAD_MODULE
from ..wire.payloads import frames
from .bootstrap import late_code
from .content import deflate, digest_of

# How many ends of parameters are looked out for.
MOST_ENDS = 256


class Modules:
    def __init__(self, mux: Any) -> None:
        self.mux = mux
        self.store = Store()
        self.payloads: dict[str, str] = {}
        self.held: dict[int, set[str]] = {}
        # Ends of parameters, as they came last.
        self.ends: collections.OrderedDict[str, bool] = collections.OrderedDict()
        for digest, blob in late_code().values():
            self.store.add(digest, blob)

    def add(self, digest: str, blob: bytes) -> None:
        self.store.add(digest, blob)

    def do_define(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """args: payload (a name for the closure within this run), closure, digests of its files.  Answers with the
        digests that are missing here; the client then sends these as FORWARD_MODULE."""
        if args['closure'] not in self.store.blobs:
            self.store.add(args['closure'], deflate(bulk))
        self.payloads[args['payload']] = args['closure']
        call.reply([digest for digest in args['digests'] if digest not in self.store.blobs])

    def do_run(self, call: Any, args: dict[str, Any], bulk: bytes) -> None:
        """Run what args['payload'] names in args['context'], or at the end of args['chain'] (keys).

        The bulk is its parameters, as JSON.  The context answers the client itself.

        Errors 'need-context' and 'need-code' ask the client for `contexts.get` and `define` first.

        With args['ends'], the number of bytes at its end that other runs may have too, these are sent as a file where
        they do.  With args['tell'], that it was passed on is told as progress {'sent': true}.  With args['only'] it
        runs in that context or in none: what came before in its lane was for it.
        """
        tell, only = args.pop('tell', False), args.pop('only', None)
        context = args.pop('context', None) or self.mux.contexts.lookup(args.pop('chain'))
        if context is None or only not in (None, context):
            call.fail('need-context', 'no such context')
            return
        closure = self.payloads.get(args.pop('payload'))
        if closure is None or self.store.missing(closure):
            call.fail('need-code', 'unknown payload')
            return
        login = self.mux.router.link_of(context)
        service = 'jobs' if 'job' in args else 'modules'
        if login is not None:
            late = {late_code()[name][0] for name in ('modules', service)}
            self._forward(login, {*late, closure, *self.store.files(closure).values()})
            bulk = self._without_end(login, args, bulk)
        args['closure'] = closure
        if tell:
            call.progress({'sent': True})
        call.hand_over()
        for frame in frames(context, call.client, CALL_SERVICE, call.reply_to, [service, 'run', args], bulk):
            self.mux.forward(frame)

    def _without_end(self, login: int, args: dict[str, Any], bulk: bytes) -> bytes:
        """What is left of parameters when their end travels as a file, as it does from the second time on."""
        size = args.pop('ends', 0)
        if not size:
            return bulk
        end = digest_of(bulk[-size:])
        known = end in self.ends
        self.ends[end] = True
        self.ends.move_to_end(end)
        if not known:
            if len(self.ends) > MOST_ENDS:
                self.ends.popitem(last=False)
            return bulk
        if end not in self.store.blobs:
            self.store.add(end, deflate(bulk[-size:]))
        self._forward(login, {end})
        args['end'] = end
        return bulk[:-size]

    def forward_service(self, service: str, login: int) -> None:
        """Send the code of a service that contexts behind `login` may not have yet ahead of the first request."""
        if service in late_code():
            self._forward(login, {late_code()[service][0]})

    def _forward(self, login: int, digests: set[str]) -> None:
        """Send the first context behind a login the files that it lacks."""
        held = self.held.setdefault(login, set())
        link = self.mux.children[login].link  # which may end with any of them
        for digest in digests - held:
            link.send(*frames(login, 0, FORWARD_MODULE, 0, {'digest': digest}, self.store.blobs[digest]))
        held |= digests

    def send(self, link: Any, context: int, digests: Any) -> None:
        """A context asks for code that it lacks."""
        for digest in set(digests) if isinstance(digests, list) else ():
            blob = self.store.blobs.get(digest)
            if blob is not None:
                link.send(*frames(context, 0, LOAD_MODULE, 0, {'digest': digest}, blob))

    def forget(self, login: int) -> None:
        self.held.pop(login, None)

    def describe(self) -> dict[str, int]:
        return {'files': len(self.store.blobs), 'payloads': len(self.payloads)}
