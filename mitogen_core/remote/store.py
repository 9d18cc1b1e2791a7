"""What a context knows of code: files by the digests of their content."""

import zlib

from ..wire.py23 import PY2, to_native


class Store(object):
    """Files by digest, deflated as in a zip file, and the code objects that were compiled from them."""

    def __init__(self):
        self.blobs = {}
        self.codes = {}
        self.closures = {}

    def add(self, digest, blob):
        self.blobs[digest] = blob

    def files(self, closure):
        """The files of a closure, {path: digest}.  A closure is itself a stored file: lines of digest, space, path."""
        if closure not in self.closures:
            lines = self.source(closure).decode('utf-8').splitlines()
            self.closures[closure] = dict(reversed(line.split(' ', 1)) for line in lines)
        return self.closures[closure]

    def missing(self, closure):
        """Digests of what is not here and the closure needs."""
        if closure not in self.blobs:
            return [closure]
        return sorted(set(self.files(closure).values()) - set(self.blobs))

    def source(self, digest):
        return zlib.decompress(self.blobs[digest], -15)

    def code(self, digest, path):
        """The code object of a file; `path` is what its tracebacks name."""
        if digest not in self.codes:
            source = self.source(digest)
            if not PY2:
                # As the import system does it: the coding line, a byte order mark, any newline.
                import importlib.util
                source = importlib.util.decode_source(source)
            self.codes[digest] = compile(source, to_native(path), 'exec', 0, 1)
        return self.codes[digest]
