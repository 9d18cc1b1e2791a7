"""other_collections.py WHEEL FOLDER: the collections that tests use, out of PyPI's package `ansible`."""

from __future__ import annotations

import re
import sys
import zipfile

GENERAL = r'community/general/(MANIFEST\.json|meta|plugins/(become|doc_fragments))'
WANTED = re.compile(rf'ansible_collections/(ansible/posix|{GENERAL})\b')

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if WANTED.match(name)])
