"""Which answers of an action's commands are known before they are given."""

from __future__ import annotations

import pytest
from ansible.plugins.loader import shell_loader
from hypothesis import given
from hypothesis import strategies as st

from tests.support import collection

later = collection.load('plugins.plugin_utils._later')
CallError = later.CallError
FOLDER = '/home/user/.ansible/tmp'


def shell(name: str = 'sh'):
    found = shell_loader.get(name)
    found.set_options(var_options={})
    return found


def made(one, name: str = 'ansible-tmp-1.2-3-4', folder: str = FOLDER):
    return one.expects(shell().mkdtemp(basefile=name, tmpdir=folder))


def test_folders():
    """What ansible-core's own shell plugin makes, and then does with it."""
    one = later.Later('x')
    expected = made(one)
    path = f'{FOLDER}/ansible-tmp-1.2-3-4'
    assert expected.answer == [{'rc': 0, 'out': len(expected.out)}, f'ansible-tmp-1.2-3-4={path}\n'.encode()]
    assert expected.makes == path
    assert one.expects(shell().chmod((path + '/', path + '/file'), 'u+x')) == later.Expected(
        paths=(path + '/', path + '/file'), bits=0o100)
    assert one.expects(shell().chmod([path], 'u+rwx')).bits == 0o700
    assert one.expects(shell().remove(path + '/', recurse=True)).removes == path
    one.on = False
    assert one.expects(shell().remove(path, recurse=True)).removes == path
    assert made(one, 'other') is None
    assert one.expects(shell().chmod([path], 'u+x')) is None


@pytest.mark.parametrize('command', [
    'true', '', 'chmod u+x /etc', f'chmod u+x {FOLDER}', 'chmod u+x', f'chmod go+x {FOLDER}/ansible-tmp-1.2-3-4',
    f'chmod u+x {FOLDER}/ansible-tmp-1.2-3-4x', f'chmod u+x {FOLDER}/ansible-tmp-1.2-3-4 /etc/passwd', "chmod u+x '",
    f'rm -f -r {FOLDER} > /dev/null 2>&1', f'rm -f -r {FOLDER}/ansible-tmp-1.2-3-4; true > /dev/null 2>&1',
    'rm -f -r / > /dev/null 2>&1', shell().mkdtemp(basefile='a b', tmpdir=FOLDER),
    shell().mkdtemp(basefile='a', tmpdir='~'),
    shell().mkdtemp(basefile='a', tmpdir='$HOME'), shell().mkdtemp(basefile='a', tmpdir='/a b'),
    shell().mkdtemp(basefile='a', tmpdir='/`id`'), shell().mkdtemp(basefile='a', tmpdir='relative'),
    shell().mkdtemp(basefile='a', tmpdir='/tmp', mode=0o755)])
def test_others(command: str):
    one = later.Later('x')
    made(one)
    assert one.expects(command) is None


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20))
def test_any_folder(folder: str):
    """An expectation is only about words that a shell leaves as they are."""
    expected = made(later.Later('x'), folder='/' + folder)
    if expected:
        assert expected.out.decode().split('=', 1)[1] == f'{expected.makes}\n'
        assert not set(folder) & set(' \t$`"\'\\*?[]{}()<>|&;~!#\n')


@pytest.mark.parametrize(('path', 'size', 'taken'), [
    ('/file', 10, True), ('/file', later.MOST, True), ('/file', later.MOST + 1, False), ('/../x', 1, False)])
def test_files(path: str, size: int, taken: bool):
    one = later.Later('x')
    made(one)
    assert one.takes(f'{FOLDER}/ansible-tmp-1.2-3-4{path}', size) is taken
    assert not one.takes(f'/etc{path}', 1)


def test_not_more_than_fits():
    one = later.Later('x')
    made(one)
    path = f'{FOLDER}/ansible-tmp-1.2-3-4/file'
    assert one.takes(path, later.MOST - 1)
    assert not one.takes(path, 2)


class Client:
    def __init__(self, *answers) -> None:
        self.answers = list(answers)

    def wait(self, handle, what):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(('answers', 'again'), [
    ([({'rc': 0, 'out': 0}, b''), (None, b'')], False), ([({'rc': 1, 'out': 0}, b''), (None, b'')], True),
    ([({'rc': 0, 'out': 0}, b'warning'), (None, b'')], True),
    ([({'rc': 0, 'out': 0}, b''), CallError('os', 'full')], True),
    ([CallError('stopped', ''), CallError('stopped', '')], True)])
def test_settle(answers, again: bool):
    """All answers are taken, whatever the first is."""
    one, client = later.Later('x'), Client(*answers)
    assert one.terms(7) == {'lane': ['x.0', 0]}
    one.add(client, 1, 'a', [{'rc': 0, 'out': 0}, b''], 7)
    assert one.terms(7) == {'lane': ['x.0', 1]}
    assert one.terms(8) == {'lane': ['x.0', 0]}
    one.terms(7)
    one.add(client, 2, 'b', later.WRITTEN, 7)
    assert one.elsewhere(8) and not one.elsewhere(7)
    if again:
        with pytest.raises(later.Again):
            one.settle(client)
    else:
        one.settle(client)
    assert not client.answers and not one.pending
    assert one.terms(7) == {'lane': ['x.1', 0]}


def test_another_client():
    """Answers that went with their client are not waited for."""
    one = later.Later('x')
    one.terms(7)
    one.add(Client(), 1, 'a', later.WRITTEN, 7)
    with pytest.raises(later.Again):
        one.settle(Client((None, b'')))
    assert not one.pending


def test_a_folder_that_is_there():
    one = later.Later('x', folder=FOLDER + '/made/')
    assert one.takes(FOLDER + '/made/file', 1)
    assert one.expects(shell().remove(FOLDER + '/made/', recurse=True))


class Item:
    """An item of a loop, whose lane is of context 7."""

    def __init__(self) -> None:
        self.lane, self.context = ['loop', 5], 7
        self.one_by_one, self.waited = False, 0

    def holds(self, context: int) -> bool:
        return context == self.context and not self.one_by_one

    def alone(self) -> None:
        self.one_by_one = True
        self.waited += 1


def test_in_a_loop():
    """What is pending, and what comes behind it, has one lane without gaps, whatever becomes of the loop meanwhile."""
    item = Item()
    one, client = later.Later('x', item=item), Client((None, b''), (None, b''))
    assert one.terms(7) == {'lane': ['loop', 5]}
    one.add(client, 1, 'a', later.WRITTEN, 7)
    assert one.terms(7) == {'lane': ['loop', 6]}
    item.one_by_one = True
    one.add(client, 2, 'b', later.WRITTEN, 7)
    assert one.terms(7) == one.last_terms() == {'lane': ['loop', 7]}
    assert not item.waited
    one.settle(client)
    assert one.terms(7) == {'lane': ['x.1', 0]}
    assert item.waited == 1


def test_in_a_loop_for_another_context():
    item = Item()
    one = later.Later('x', item=item)
    assert one.terms(8) == {'lane': ['x.0', 0]}
    assert item.waited == 1 and item.lane == ['loop', 5]


def test_a_loop_whose_lane_ends():
    """What an item asks for anew is asked for when those before it have ended."""
    item = Item()
    one, client = later.Later('x', item=item), Client(CallError('stopped', ''))
    one.terms(7)
    one.add(client, 1, 'a', later.WRITTEN, 7)
    with pytest.raises(later.Again):
        one.settle(client)
    assert item.waited == 1


def test_abandoned():
    """Late answers are not kept."""
    one, forgotten = later.Later('x'), []
    client = Client()
    client.forget = forgotten.append
    one.terms(7)
    one.add(client, 3, 'a', later.WRITTEN, 7)
    one.abandon(client)
    assert forgotten == [3] and not one.pending
