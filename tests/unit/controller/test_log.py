"""The multiplexer's log: what targets say can't make it say anything else."""

from __future__ import annotations

import logging
import re
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitogen_core.controller.log import BURST, MAX_SENTENCE, RATE, Log, harmless, one_line

texts = st.text('a\x1b[]\n\r\t\b\x07\x9b\u202e\u2028\ud800\U0001f600\\%s', max_size=30)
odd = st.one_of(st.none(), st.integers(), st.binary(max_size=9), st.lists(st.integers(), max_size=2), texts)


STAMP = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \d+ ')


def written(head, where='web1'):
    """What remote() writes, without the time and the process id."""
    with tempfile.NamedTemporaryFile() as file:
        Log(file.name).remote(where, head)
        text = file.read().decode('utf-8')
    assert text.count('\n') <= 1 and text[:-1].isprintable()
    return STAMP.sub('', text.rstrip('\n'), count=1)


def test_a_record():
    head = {'level': logging.WARNING, 'name': 'mitogen.broker', 'text': 'disk is full'}
    assert written(head) == 'WARNING web1 mitogen.broker: disk is full'


@pytest.mark.parametrize('text, safe', [
    ('\x1b[2J\x1b]0;owned\x07', r'\x1b[2J\x1b]0;owned\x07'),
    ('one\n2026-01-01 00:00:00 1 ERROR multiplexer: forged', r'one\n2026-01-01 00:00:00 1 ERROR multiplexer: forged'),
    ('\u202egnp.exe', r'\u202egnp.exe'),
    (b'\x1b[31m\xff', '\\x1b[31m\ufffd'),
])
def test_control_sequences_are_made_harmless(text, safe):
    for head in ({'text': text}, {'name': text}):
        assert safe in written(head)


@given(st.one_of(odd, st.dictionaries(st.sampled_from(['level', 'name', 'text', 'x']), odd)))
def test_anything_a_target_may_send(head):
    line = written(head)
    assert not line or re.match('(DEBUG|INFO|WARNING|ERROR|CRITICAL|NOTSET|Level [1-4]?[0-9]) web1 ', line)


def test_records_are_short():
    assert len(written({'text': 'x' * 100000, 'name': '\x1b' * 100000})) < 4096 + 500


def test_silent_without_a_file():
    log = Log('')
    log.write(logging.ERROR, 'nobody reads this')
    log.remote('web1', {'text': 'nor this'})


def test_a_file_gets_one_line_a_record(tmp_path):
    path = tmp_path / 'log'
    log = Log(str(path))
    log.write(logging.INFO, 'started')
    log.remote('web1', {'level': logging.ERROR, 'name': 'x', 'text': 'a\nb'})
    lines = path.read_text(encoding='utf-8').splitlines()
    assert [line.split(' ', 3)[3] for line in lines] == ['INFO multiplexer: started', r'ERROR web1 x: a\nb']
    assert path.stat().st_mode & 0o777 == 0o600


def test_errors_are_written_line_by_line(tmp_path):
    log = Log(str(tmp_path / 'log'))
    try:
        raise ValueError('bad\x1b[2J\nforged')
    except ValueError:
        log.error('a service')
    lines = (tmp_path / 'log').read_text(encoding='utf-8').split('\n')
    assert len(lines) > 3 and lines.pop() == ''
    assert all(line.isprintable() and 'ERROR multiplexer: a service: ' in line for line in lines)
    assert any(r'ValueError: bad\x1b[2J' in line for line in lines)


def test_ansibles_own_log(tmp_path):
    path = tmp_path / 'ansible.log'
    path.write_text('2026-01-01 00:00:00,000 p=1 u=root n=ansible INFO| PLAY\n')
    log = Log('', str(path))
    assert log.on
    log.remote('web1', {'level': logging.WARNING, 'name': 'mitogen.broker', 'text': 'disk is full'})
    log.write(logging.DEBUG, 'nothing for people')
    first, second = path.read_text().splitlines()
    assert first.endswith('PLAY')
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} p=\d+ u=\S+ n=mitogen WARNING\| '
                        r'web1 mitogen\.broker: disk is full', second)


def test_a_target_that_says_too_much(tmp_path):
    now = [0.0]
    log = Log(str(tmp_path / 'log'), clock=lambda: now[0])

    def lines():
        return [line.partition(' INFO ')[2] or line.partition(' WARNING ')[2]
                for line in (tmp_path / 'log').read_text().splitlines()]
    for n in range(BURST + 50):
        log.remote('web1', {'level': 20, 'name': 'x', 'text': str(n)})
    assert lines() == [f'web1 x: {n}' for n in range(BURST)]
    log.remote('web2', {'level': 20, 'name': 'x', 'text': 'another'})
    assert lines()[BURST:] == ['web2 x: another']
    now[0] = 1.0
    for n in range(2 * RATE):
        log.remote('web1', {'level': 20, 'name': 'x', 'text': f'later {n}'})
    assert lines()[BURST + 1:] == ['web1: 50 lines were left out', *(f'web1 x: later {n}' for n in range(RATE))]


@given(st.one_of(odd, st.text(max_size=100)))
def test_sentences(text):
    found = harmless(text)
    assert all(line.isprintable() for line in found.split('\n'))
    assert len(harmless([text, text])) == 0


def test_sentences_keep_their_lines():
    assert harmless(b'one\r\n\ttwo\x1b[2J\rthree\n') == 'one\n        two\\x1b[2J\\rthree\n'
    assert one_line(b'one\r\n\ttwo\x1b[2J\nfatal: [web2]') == 'one two\\x1b[2J fatal: [web2]'
    assert len(harmless('x' * 100_000 + 'end')) < MAX_SENTENCE and harmless('x' * 100_000 + 'end').endswith('xend')


def test_a_target_that_is_told_of_too_often(tmp_path):
    """What it makes us say counts as what it says."""
    log = Log(str(tmp_path / 'log'), clock=lambda: 0.0)
    for n in range(BURST):
        log.about('web1', logging.WARNING, f'refused {n}')
        log.remote('web1', {'text': 'x'})
    log.about('web2', logging.WARNING, 'refused')
    lines = (tmp_path / 'log').read_text().splitlines()
    assert len(lines) == BURST + 1 and lines[-1].endswith('WARNING multiplexer: refused')
