"""Whatever bytes a parser is given, they are a value or are refused: a little of what `./dev fuzz` does for long, with
the same table, tests/fuzz/targets.py."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.own_ansible  # noqa: F401
from tests.fuzz.findings import FINDINGS
from tests.fuzz.targets import TARGETS
from tests.support.feeding import feed

STREAMS = [name for name, target in TARGETS.items() if target.parser]
# For one input, of at most some thousand bytes: far more than any takes, on a busy machine too.
SECONDS, MEMORY = 5.0, 32 << 20

# Where, how many bytes go, what comes instead.
edits = st.lists(st.tuples(st.integers(0), st.integers(0, 3), st.one_of(
    st.binary(max_size=3), st.sampled_from([b'\0\0\0\0', b'\xff\xff\xff\xff', b'\x80\0\0\0', b'(', b'h\0',
                                            b'\x1b[2J']))), max_size=4)


def edited(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for at, size, put in changes:
        at %= len(data) + 1
        data = data[:at] + put + data[at + size:]
    return data


@pytest.mark.parametrize('name', TARGETS)
def test_seeds(name: str):
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert any(target.run(data) for data in seeds), 'not one is a value'


@pytest.mark.parametrize('name', TARGETS)
@given(data=st.data())
def test_any_bytes(name: str, data: st.DataObject):
    target = TARGETS[name]
    seeds = sorted({b'', *target.seeds()})
    target.run(edited(data.draw(st.sampled_from(seeds)), data.draw(edits)))
    target.run(data.draw(st.binary(max_size=200)))


@pytest.mark.parametrize('name', STREAMS)
@given(data=st.data())
def test_pieces_of_any_size(name: str, data: st.DataObject):
    """What comes whole is what comes byte by byte, or with something behind it."""
    target = TARGETS[name]
    assert target.parser
    stream = edited(data.draw(st.sampled_from(sorted(target.seeds()))), data.draw(edits))
    feed(target.parser, stream, trailing=b'')


@pytest.mark.parametrize('name', TARGETS)
def test_memory_and_time_are_bounded(name: str):
    """Of the seeds and of what is all one byte: what runs away does so with little."""
    target = TARGETS[name]
    target.run(b'')  # which may import
    for data in [*target.seeds(), *(bytes([code]) * 4096 for code in (0, 9, 32, 40, 58, 91, 93, 123, 133, 255))]:
        tracemalloc.start()
        begin = time.process_time()
        try:
            target.run(data)
            assert tracemalloc.get_traced_memory()[1] < MEMORY, data[:20]
        finally:
            tracemalloc.stop()
        assert time.process_time() - begin < SECONDS, data[:20]


@pytest.mark.parametrize(('name', 'data'), [(name, data) for name, inputs in FINDINGS.items() for data in inputs])
def test_what_was_found(name: str, data: bytes):
    """Each was a defect once."""
    TARGETS[name].run(data)
