"""docs/wire-format.md says what the code does, in numbers and names."""

from __future__ import annotations

import re

import pytest

from mitogen_core.controller import bootstrap, channels, contexts, modules, status
from mitogen_core.remote import contexts as remote_contexts
from mitogen_core.remote import jobs, profile, runners
from mitogen_core.remote import status as remote_status
from mitogen_core.remote.services import SERVICES
from mitogen_core.wire import constants, frames, payloads, states
from tests.support.sources import ROOT

PATH = ROOT / 'docs' / 'wire-format.md'
TEXT = PATH.read_text(encoding='utf-8')


def section(number: int) -> str:
    return re.search(rf'^## {number}\. .*?(?=^## |\Z)', TEXT, re.M | re.S).group()


def rows(number: int) -> list[list[str]]:
    """The cells of a section's tables, without the lines above and below each head."""
    lines = [line for line in section(number).splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if not set(line) <= set('|-')]


def flat(number: int) -> str:
    return ' '.join(section(number).split())


def test_size():
    assert TEXT.count('\n') <= 250


def test_version():
    assert TEXT.startswith(f'# The wire format, version {constants.VERSION}\n')
    assert f'both ends must have version {constants.VERSION}.' in flat(7)


def test_header():
    """The drawing is the one in the code, and names the fields in the order in which they are packed."""
    drawing = re.search(r'(    0       4 .*?)\n\n', TEXT, re.S).group(1)
    assert drawing in frames.__doc__.replace('\r', '')
    names = re.findall(r'[a-z_]+', drawing)
    assert names == ['dst', 'src', 'auth', 'handle', 'reply_to', 'length', 'payload']
    frame = frames.Frame(1, 2, 4, 5, b'12345', auth=3)
    assert frames.HEADER.unpack(frame.header()) == (1, 2, 3, 4, 5, len(frame.payload))
    assert re.findall(r'\d+', drawing.split('\n')[0]) == [str(i) for i in range(0, frames.HEADER_SIZE + 1, 4)]


def test_handles():
    found = {int(row[0]): row[1] for row in rows(4)[1:]}
    assert found == constants.HANDLES
    assert f'Numbers from {max(n for n in found if n < 999) + 1} on are free' in section(4)


def test_limits():
    names = [row[0].strip('`') for row in rows(10)[1:]]
    assert {name: int(row[1]) for name, row in zip(names, rows(10)[1:], strict=True)} == \
        {name: getattr(constants, name) for name in names}
    assert set(names) >= {name for name in vars(constants) if name.startswith('MAX_')} - {'MAX_U32'}


def test_ids():
    assert f'{constants.ROOT} (`ROOT`)' in section(1)
    assert f'1 to {constants.FIRST_CLIENT - 1:#x}' in section(1)
    assert f'from {constants.FIRST_CLIENT:#x} (`FIRST_CLIENT`)' in section(1)
    assert f'a number from {constants.FIRST_DYNAMIC} (`FIRST_DYNAMIC`)' in section(2)
    assert f'{constants.IS_DEAD} (`IS_DEAD`)' in section(2)
    assert f'with `reply_to` {constants.IS_DEAD} ' in flat(8)
    assert f'from 0 to {constants.MAX_U32:#x}' in flat(7)


def test_messages():
    assert f'{payloads.PIECE:#x} `PIECE`' in section(3)
    assert f'{payloads.MORE:#x} `MORE`' in section(3)
    assert f'plus {payloads.PIECE_COST} bytes' in flat(3)
    assert payloads.MAX_INT.bit_length() == 64 and 'integers of at most 64 bits' in flat(3)
    assert constants.MAX_U32.bit_length() == 32 and 'integers of at most 32 bits' in flat(3)


def test_opcodes():
    text = re.search(r'knows the opcodes (.*?), and refuses all others', flat(3)).group(1)
    assert re.findall(r'[A-Z0-9_]+', text) == payloads._OPCODES.split()


@pytest.mark.parametrize('name', ['_codecs.encode', '__builtin__.bytes', 'builtins.bytes'])
def test_globals(name):
    assert f'`{name}`' in section(3)
    module, _, name = name.rpartition('.')
    assert payloads._Unpickler.find_class(payloads._Unpickler, module, name) is None  # no error: it is known


def test_services():
    """Every method of every service has its row, and no row is of another."""
    found = set()
    for row in rows(5):
        if row[0] in ('broker', 'root'):
            service, _, methods = row[1].partition('.')
            found |= {(row[0], service, method.strip(' .')) for method in methods.split(',')}
    services = {**SERVICES, 'contexts': remote_contexts.SERVICE, 'modules': runners.SERVICE,
                'status': remote_status.SERVICE, 'jobs': jobs.SERVICE, 'profile': profile.SERVICE}
    ours = {('broker', name, method[3:]) for name, service in services.items()
            for method in vars(service) if method.startswith('do_')}
    roots = (contexts.Contexts, modules.Modules, channels.Channels, status.Status)
    ours |= {('root', service.__name__.lower(), method[3:]) for service in roots
             for method in vars(service) if method.startswith('do_')}
    assert found == ours


def test_beginning():
    assert remote_contexts.MARK.decode() in section(7)
    assert bootstrap.NO_PYTHON in section(7)
    assert f'at most {remote_contexts.MAX_NOISE:,} bytes' in flat(7)
    assert remote_contexts.refusal('2.6') and remote_contexts.refusal('3.5')
    assert not remote_contexts.refusal('2.7') and not remote_contexts.refusal('3.6')
    assert 'below 2.7, and 3.0 to 3.5' in section(7)
    assert 'r(int(r(8)))' in bootstrap.FIRST_STAGE and '8 decimal digits' in section(7)
    assert 'os._exit(70)' in bootstrap.FIRST_STAGE and 'exit code 70' in section(7)


def test_states():
    for state in states.LINK:
        assert f'*{state}*' in section(7)
