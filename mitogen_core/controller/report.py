"""The tree as lines of text: what `status.tree` of the multiplexer returns, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .log import plain


def lines(tree: dict[str, Any]) -> Iterator[str]:
    """`tree`: see Status.do_tree in status.py.  Printable, whatever targets said."""
    return map(plain, _lines(tree))


def _lines(tree: dict[str, Any]) -> Iterator[str]:
    yield (f'multiplexer, pid {tree["pid"]}: {tree["clients"]} clients, {len(tree["calls"])} calls under way, '
           f'{tree["modules"]["files"]} files of code')
    for call in tree['calls']:
        yield f'  client {call["client"]} waits for context {call["context"]}, {call["seconds"]:.1f} s'
    for channel in tree['channels']:
        yield (f'  slot {channel["slot"]}: {channel["bytes"]} of {channel["size"]} bytes queued, {channel["dropped"]} '
               f'dropped, {channel["waiting"]} waiting, policy {channel["policy"]}')
    for context in tree['contexts']:
        indent = '  ' * context['hops']
        what = f'{context["user"]}@{context["host"]}, pid {context["pid"]}' if context['ready'] else 'is being started'
        yield f'{indent}context {context["id"]}, {context["name"]}: {what}'
        link = tree['links'].get(context['id'])
        if link:
            yield f'{indent}  link: {link_line(link)}'
        try:
            said = list(_broker(context.get('status')))
        except Exception as e:  # a target may say anything
            said = [f'says of itself what can not be read: {type(e).__name__}']
        yield from (f'{indent}  {line}' for line in said)


def link_line(link: dict[str, Any]) -> str:
    """One link."""
    words = [f'heard {link["heard"]:.1f} s ago', f'{link["sent"]} bytes out', f'{link["received"]} in',
             f'{link["queued"]} queued']
    if link['held']:
        words.append(f'{link["held"]} held for others')
    if link['paused']:
        words.append('not read for lack of room')
    words += [f'flow {flow["src"]} to {flow["dst"]}: {flow["waiting"]} frames wait, {flow["under_way"]} bytes under way'
              for flow in link['flows']]
    return ', '.join(words)


def _broker(status: dict[str, Any] | None) -> Iterator[str]:
    if not status:
        return
    if 'error' in status:
        yield f'says nothing of itself: {status["error"]}'
        return
    busy = sum(bool(runner['busy']) for runner in status['runners'])
    yield f'{len(status["runners"])} runners, {busy} busy; {status["files"]} files of code'
    for call in status['calls']:
        yield f'call for client {call["for"]}: {call["state"]}, {call["seconds"]:.1f} s'
    for name, link in status['links'].items():
        yield f'link to {name}: {link_line(link)}'
