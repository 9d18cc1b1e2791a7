"""What an action removes at its end is removed, however a run of it that guesses ends."""

from __future__ import annotations

import contextlib
import types

import pytest
from ansible.errors import AnsibleError

from tests.support import collection

copies = collection.load('plugins.plugin_utils._compat.copies')
guesses = collection.load('plugins.plugin_utils._guesses')


class Connection:
    def __init__(self):
        self.known = []

    def acts(self):
        return True

    def guess_no_more(self):
        pass

    @contextlib.contextmanager
    def knows(self, answers):
        self.known.append(answers)
        yield


class Handler:
    """An assemble whose first run ends in this way, and whose others go well."""

    def __init__(self, end):
        self.end, self.removed, self.seen = end, [], []
        self._task = types.SimpleNamespace(args={'src': 'parts', 'decrypt': False}, check_mode=False, diff=False)
        self._play_context = None

    def _is_pipelining_enabled(self, style):
        return True

    def _assemble_from_fragments(self):
        return 'path'

    def _execute_remote_stat(self):
        return {}

    def _remove_tmp_path(self, path, force=False):
        self.removed.append((path, force))

    def run(self, task_vars=None):
        self.seen.append(self._task.args.pop('decrypt', None))
        end, self.end = self.end, None
        try:
            if end:
                raise end
            return {'changed': True}
        finally:
            self._remove_tmp_path('/tmp/x', force=True)


def assemble(end):
    handler, connection = Handler(end), Connection()
    result = None
    try:
        result = copies._Assembled(handler, connection)(task_vars={})
    finally:
        assert handler.removed == [('/tmp/x', True)]
        # It is what it was.
        assert not {'_remove_tmp_path', '_assemble_from_fragments', '_execute_remote_stat'} & set(vars(handler))
    return result, handler.seen, connection.known


def test_it_goes_well():
    assert assemble(None) == ({'changed': True}, [False], [])


@pytest.mark.parametrize('end', [AnsibleError('not a folder'), guesses.Again(), guesses.Known([1])], ids=repr)
def test_it_fails(end):
    with pytest.raises(type(end)):
        assemble(end)


def test_it_is_the_same():
    """Another run gets the answers, and the arguments as they were."""
    assert assemble(guesses.Known([1, 2])) == ({'changed': True}, [False, False], [[1, 2]])
