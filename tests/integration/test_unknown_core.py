"""An ansible-core that nobody has tested with Mitosis: everything runs the stock way, and one warning says so."""

from __future__ import annotations

import os
import pathlib
import re
import shutil

import pytest

from tests.integration.support.control import Control

pytestmark = pytest.mark.timeout(360)


@pytest.fixture
def older(tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the collection, made before today's ansible-core was."""
    source = pathlib.Path(os.environ['MITOSIS_COLLECTIONS']) / 'ansible_collections' / 'mitosis' / 'express'
    copy = tmp_path / 'older' / 'ansible_collections' / 'mitosis' / 'express'
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns('.git', '.dev', 'tests', '__pycache__'))
    path = copy / 'plugins' / 'plugin_utils' / '_compat' / '__init__.py'
    text, count = re.subn(r'^OLDEST, NEWEST = .*$', 'OLDEST, NEWEST = (2, 1), (2, 9)', path.read_text(), flags=re.M)
    assert count == 1
    path.write_text(text)
    return tmp_path / 'older'


def test_unknown_core(control: Control, older: pathlib.Path) -> None:
    done = control.tasks('- ping:\n- command: hostname\n- command: id -un\n  become: true\n  become_user: m_target',
                         env={'ANSIBLE_COLLECTIONS_PATH': str(older)})
    assert done.code == 0, str(done)
    assert [result.get('stdout') for result in done.results()[1:3]] == ['t1', 'm_target']
    assert re.sub(r'\s+', ' ', done.text).count('is not known (2.1 to 2.9 are)') == 1, str(done)
    assert control.pids('mitogen_core') == []
