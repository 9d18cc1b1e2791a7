"""ansible-core in this process, with folders of its own and nobody's settings.  To be imported before anything else
imports it."""

from __future__ import annotations

import atexit
import os
import pathlib
import shutil
import tempfile

folder = pathlib.Path(tempfile.mkdtemp(prefix='mitosis-unit-'))
atexit.register(shutil.rmtree, folder, ignore_errors=True)
(folder / 'ansible.cfg').touch()

before = dict(os.environ)
for name in [name for name in os.environ if name.startswith(('ANSIBLE_', '_ANSIBLE_'))]:
    del os.environ[name]
os.environ.update(ANSIBLE_HOME=str(folder), ANSIBLE_LOCAL_TEMP=str(folder / 'tmp'),
                  ANSIBLE_CONFIG=str(folder / 'ansible.cfg'))
try:
    import ansible.constants  # noqa: F401
finally:
    os.environ.clear()
    os.environ.update(before)
