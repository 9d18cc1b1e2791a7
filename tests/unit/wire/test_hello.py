"""The first message: strangers and other versions get a readable refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.wire.constants import MAX_PAYLOAD, MAX_U32, VERSION
from mitogen_core.wire.errors import ProtocolError
from mitogen_core.wire.hello import check_child, check_hello, hello
from mitogen_core.wire.payloads import pack, unpack

from .test_payloads import heads


def test_round_trip():
    head = hello(7, 123, child=9, home='/root')
    assert check_hello(unpack(pack(head))[0]) == {
        'version': VERSION, 'id': 7, 'pid': 123, 'max_payload': MAX_PAYLOAD, 'child': 9, 'home': '/root'}


def test_keys_of_python_2_become_text():
    head = {key.encode(): value for key, value in hello(7, 123).items()}
    assert check_hello(head) == hello(7, 123)


@pytest.mark.parametrize('change, text', [
    ({'version': VERSION + 1}, f'version {VERSION + 1}, this end {VERSION}'),
    ({'version': None}, 'version None'),
    ({'version': True}, 'version True'),
    ({'version': 1.0}, 'version 1.0'),
    ({'version': '\x1b[31m'}, r"version '\\x1b\[31m'"),
    ({'version': 'x' * 5000}, "version 'x{59}, this"),
    ({'id': None}, 'without id'),
    ({'id': -1}, 'without id'),
    ({'id': MAX_U32 + 1}, 'without id'),
    ({'id': True}, 'without id'),
    ({'pid': '1'}, 'without pid'),
    ({'max_payload': 1.5}, 'without max_payload'),
])
def test_refusals_say_why(change, text):
    with pytest.raises(ProtocolError, match=text):
        check_hello(dict(hello(7, 123), **change))


@pytest.mark.parametrize('key, text', [('version', 'version None'), ('id', 'without id'), ('pid', 'without pid'),
                                       ('max_payload', 'without max_payload')])
def test_nothing_may_be_missing(key, text):
    head = hello(7, 123)
    del head[key]
    with pytest.raises(ProtocolError, match=text):
        check_hello(head)


@given(heads)
def test_any_message_is_a_hello_or_refused(head):
    try:
        found = check_hello(head)
    except ProtocolError as e:
        assert len(str(e)) < 200 and str(e).isprintable()
    else:
        assert found['version'] == VERSION


@given(st.dictionaries(st.sampled_from(['version', 'id', 'pid', 'max_payload']), heads))
def test_any_hello_is_good_or_refused(change):
    try:
        found = check_hello(dict(hello(7, 123), **change))
    except ProtocolError as e:
        assert len(str(e)) < 200 and str(e).isprintable()
    else:
        assert all(type(found[key]) is int and 0 <= found[key] <= MAX_U32 for key in ('id', 'pid', 'max_payload'))


SAYS = {'python': [3, 11, 2], 'executable': '/usr/bin/python3', 'user': 'root', 'uid': 0, 'home': '/root',
        'host': 'web1'}


def test_what_a_child_says():
    head = hello(7, 4321, **SAYS)
    assert check_child(dict(head, more='x', child=5)) == head
    assert check_child({key.encode(): value for key, value in head.items()}) == head


@pytest.mark.parametrize('changes', [
    {'user': None}, {'user': ['root']}, {'user': b'root'}, {'home': 5}, {'host': 'x' * 5000}, {'executable': {}},
    {'uid': '0'}, {'uid': True}, {'python': 3}, {'python': [3, 11]}, {'python': [3, 11, 'x']}, {'python': (3, 11, 2)},
    {'version': 1}, {'id': -1},
], ids=repr)
def test_what_a_child_may_not_say(changes):
    with pytest.raises(ProtocolError):
        check_child(hello(7, 4321, **{**SAYS, **changes}) | changes)
