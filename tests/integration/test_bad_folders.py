"""The folder of a run on this machine, where others may write to what lies around it."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.integration.support.control import HERE, Control

pytestmark = pytest.mark.timeout(180)

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason='only root can be another user too')
# Puts something where the folder will be looked for, before ours is there.
SQUAT = '''
DOCUMENTATION = """
name: squats
type: notification
short_description: Takes a place
description: See test_bad_folders.py.
"""
import os

from ansible import constants as C
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_NAME = 'squats'

    def v2_playbook_on_start(self, playbook):
        path = os.path.join(C.DEFAULT_LOCAL_TMP, 'mitosis')
        if os.environ['SQUAT'] == 'link':
            os.symlink(os.environ['ELSEWHERE'], path)
            return
        os.makedirs(path, 0o700, exist_ok=True)
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        if os.environ['SQUAT'] == 'open':
            os.chmod(path, 0o777)
        else:
            os.chown(path, 65534, 65534)
'''


@pytest.mark.parametrize('bytecode', ['', '1'], ids=['beside', 'there'])
@pytest.mark.parametrize('how', ['open', 'link', pytest.param('foreign', marks=as_root)])
def test_a_place_that_is_taken(how: str, bytecode: str, control: Control, tmp_path: pathlib.Path) -> None:
    """Everything runs, but the stock way, and nothing of ours is put there."""
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir(mode=0o700)
    (tmp_path / 'callbacks').mkdir()
    (tmp_path / 'callbacks' / 'squats.py').write_text(SQUAT)
    env = {'SQUAT': how, 'ELSEWHERE': str(elsewhere), 'ANSIBLE_CALLBACKS_ENABLED': 'record,squats',
           'PYTHONDONTWRITEBYTECODE': bytecode, 'ANSIBLE_CALLBACK_PLUGINS': f'{HERE}/callback_plugins:{tmp_path}/callbacks'}
    done = control.adhoc('t1', '-m', 'command', '-a', 'hostname', env=env)
    assert done.code == 0 and 'it is not a folder of this user alone' in done.err, str(done)
    assert control.way == 'connection' or '0 of 1 task runs accelerated' in done.text or 'stock way' in done.text, str(done)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize('owner', [os.getuid(), pytest.param(NOBODY, marks=as_root)], ids=['own', 'foreign'])
def test_a_temporary_folder_that_all_may_write_to(owner: int, control: Control, tmp_path: pathlib.Path) -> None:
    """Named by the environment: what Ansible makes in it is private, and so is ours."""
    hostile = tmp_path / 'hostile'
    hostile.mkdir()
    hostile.chmod(0o777)
    os.chown(hostile, owner, -1)
    done = control.adhoc('t1', '-m', 'command', '-a', 'hostname', '-vvv', env={'ANSIBLE_LOCAL_TEMP': str(hostile)})
    assert done.code == 0 and 'it is not a folder' not in done.text, str(done)
    assert control.way == 'connection' or '1 of 1 task runs accelerated' in done.text, str(done)
    assert not list(hostile.iterdir())
