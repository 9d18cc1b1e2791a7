"""other_collections.py WHEEL FOLDER: the collections that tests use, out of PyPI's package `ansible`."""

from __future__ import annotations

import re
import sys
import zipfile

ALL = 'ansible/posix|community/docker|community/okd|containers/podman|kubernetes/core'
# What connection and become plugins need of this large one.
GENERAL = r'community/general/(MANIFEST\.json|meta|plugins/(become|connection|doc_fragments|module_utils))'
WANTED = re.compile(rf'ansible_collections/({ALL}|{GENERAL})\b')

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if WANTED.match(name)])
