"""Files as the wire has them: docs/wire-format.md, section 6."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable


def digest_of(content: bytes) -> str:
    """The name of a content: 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def deflate(content: bytes) -> bytes:
    """`content` as a zip file would hold it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def listing_of(files: Iterable[tuple[str, str]]) -> bytes:
    """The text whose digest names a closure: of (digest, path) of its files."""
    return '\n'.join(sorted(f'{digest} {path}' for digest, path in files)).encode()


class Closure:
    """Files by path, named by their content.

    `files`: digest -> (path, content); `listing`: the text that `digest` names; see docs/wire-format.md, section 6.
    """

    def __init__(self, contents: dict[str, bytes]) -> None:
        digests = {path: digest_of(content) for path, content in contents.items()}
        self.files = {digests[path]: (path, content) for path, content in contents.items()}
        self.listing = listing_of((digest, path) for path, digest in digests.items())
        self.digest = digest_of(self.listing)

    def deflated(self, digest: str) -> bytes:
        """A file as it travels."""
        return deflate(self.files[digest][1])
