"""Which connection classes are accelerated, and which are left alone."""

from __future__ import annotations

import subprocess

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.connection.local import Connection as Local

from tests.support import collection

adapted = collection.load('plugins.plugin_utils._adapted')
assert subprocess  # what plugins that start commands have in their modules


class Plain(ConnectionBase):
    transport = 'plain'

    def _connect(self):
        pass

    def exec_command(self, cmd, in_data=None, sudoable=True):
        pass

    def put_file(self, in_path, out_path):
        pass

    def fetch_file(self, in_path, out_path):
        with open(out_path, 'wb'):
            pass

    def close(self):
        pass


class Copying(Plain):
    def fetch_file(self, in_path, out_path):
        subprocess.run(['cp', in_path, out_path], check=True)


class NameOfOurs(Plain):
    def _exec(self):
        pass


class Slots(Plain):
    __slots__ = ('more',)


class Windows(Plain):
    def __init__(self, *args, **kwargs):
        self._shell_type = 'powershell'
        super().__init__(*args, **kwargs)


class MadeOfLocal(Local):
    def put_file(self, in_path, out_path):
        raise AnsibleConnectionFailure('not today')


@pytest.mark.parametrize(('cls', 'fine'), [
    (Plain, True), (Copying, True), (NameOfOurs, False), (Slots, False), (Windows, False), (dict, False),
    (MadeOfLocal, False)])
def test_classes(cls, fine):
    found = adapted.adapted(cls)
    assert (found is not None) is fine
    if fine:
        assert issubclass(found, cls) and found.__name__ == cls.__name__
        assert adapted.adapted(found) is None


@pytest.mark.parametrize(('name', 'fine'), [
    ('ssh', True), ('ansible.builtin.local', True), ('mitosis.express.ssh', True), ('winrm', False), ('psrp', False),
    ('no.such.plugin', False), ('{{ x }}', False)])
def test_names(name, fine):
    assert adapted.accelerates(name) is fine


@pytest.mark.parametrize(('cls', 'copies'), [(Plain, False), (Copying, True)])
def test_modes_of_what_is_fetched(cls, copies):
    assert adapted.Adapted.copies_modes(object.__new__(adapted.adapted(cls))) is copies
