"""What was found, made small: target -> inputs.  Each is run by tests/unit/test_fuzz_targets.py."""

from __future__ import annotations

import base64

from mitogen_core.wire.frames import Frame
from mitogen_core.wire.payloads import MORE, SIZE, pack


def laughs() -> bytes:
    """Seven lists in each other, ten times the same one in each: ten million, of 160 bytes."""
    pickled = b'\x80\x02]q\0' + b''.join(b'](' + (b'h' + bytes([level])) * 10 + b'eq' + bytes([level + 1])
                                         for level in range(6)) + b'.'
    return SIZE.pack(len(pickled)) + pickled


FINDINGS: dict[str, list[bytes]] = {
    # Took as long to read as what it unfolds to.
    'payload': [laughs()],
    'log': [pack({'text': [[['x' * 9] * 99] * 99] * 9, 'name': {'x': 1}})],
    # A digit, and no number.
    'command': ["/usr/bin/python3 /root/.ansible/tmp/ansible-tmp-1-2-3/async_wrapper.py j1 \u00b2 "
                "/root/.ansible/tmp/ansible-tmp-1-2-3/AnsiballZ_ping.py _".encode()],
    'option': [bytes([number]) + value for number in range(12) for value in ('"\u00b2"'.encode(), b'9' * 12)],
    # A multiplexer's word, from a target; an answer that is no pair; an error that is no dict.
    'answer': [Frame(0, 7, 1000, 0, payload).encode() for payload in (
        pack(['progress', {'silent': 1, 'name': 'x'}], b'', MORE), pack(5), pack(['error', 5]),
        pack(['progress', 5], b'', MORE))],
    # Parameters that are bytes.
    'module-fields': [b"b'{}'"],
    # Another way to compress, and no such data.
    'zip': [base64.b64decode(
        'UEsDBBQAAAAIAHpGfF0GHuE8CwAAAAkAAAAXAAAAYW5zaWJsZS9tb2R1bGVzL3BpbmcucHkrKMrMK9Ew1OQCAFBLAQIUAxQAAAAMAHpGfF0GHuE8'
        'CwAAAAkAAAAXAAAAAAAAAAAAAACAAQAAAABhbnNpYmxlL21vZHVsZXMvcGluZy5weVBLBQYAAAAAAQABAEUAAABAAAAAAAA=')],
    # A port that is no number; words where a boolean is meant.
    'hop': [b'{"ansible_port": "x"}', b'{"ansible_become": [1]}', b'{"ansible_facts": 5}'],
}
