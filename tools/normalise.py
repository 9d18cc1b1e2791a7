"""normalise.py TARBALL SECONDS: makes what `ansible-galaxy collection build` wrote depend on its content alone.

ansible-galaxy lists files as the file system does, and writes the times of files and of the build.  After this, members
are sorted, all of the time SECONDS (since 1970), and the checksums are those of the new lists.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile
from typing import Any

MANIFEST, FILES = 'MANIFEST.json', 'FILES.json'


def dump(value: Any) -> bytes:
    """As ansible-galaxy writes it."""
    return json.dumps(value, indent=1).encode()


def normalised(data: bytes, seconds: int) -> bytes:
    """Another collection tarball of the same files."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
        contents = {name: file.read() for name, member in members.items() if (file := tar.extractfile(member))}
    files, manifest = json.loads(contents[FILES]), json.loads(contents[MANIFEST])
    files['files'].sort(key=lambda file: file['name'])
    contents[FILES] = dump(files)
    manifest['file_manifest_file']['chksum_sha256'] = hashlib.sha256(contents[FILES]).hexdigest()
    contents[MANIFEST] = dump(manifest)
    out = io.BytesIO()
    with gzip.GzipFile('', 'wb', 9, out, mtime=0) as packed, tarfile.open(fileobj=packed, mode='w') as tar:
        for name in (MANIFEST, FILES, *sorted(set(members) - {MANIFEST, FILES})):
            member, content = members[name], contents.get(name)
            member.mtime, member.pax_headers = seconds, {}
            member.size = len(content or b'')
            tar.addfile(member, None if content is None else io.BytesIO(content))
    return out.getvalue()


def main(name: str, seconds: str) -> None:
    path = pathlib.Path(name)
    path.write_bytes(normalised(path.read_bytes(), int(seconds)))


if __name__ == '__main__':
    main(*sys.argv[1:])
