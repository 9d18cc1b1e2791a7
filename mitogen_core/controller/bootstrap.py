"""The text that makes a bare Python on a target a broker: a first stage on the command line, the shipped set on stdin.

docs/bootstrap.md tells, step by step, what runs on a target before our code is there.
"""

from __future__ import annotations

import base64
import functools
import pathlib
import zlib

from .content import deflate, digest_of
from .minify import minify

ROOT = pathlib.Path(__file__).resolve().parent.parent

# In the order in which they import each other.
SHIPPED = (
    'wire/py23.py', 'wire/errors.py', 'wire/constants.py', 'wire/frames.py', 'wire/payloads.py', 'wire/states.py',
    'wire/router.py', 'wire/hello.py', 'wire/choices.py',
    'remote/loop.py', 'remote/outbox.py', 'remote/link.py', 'remote/children.py', 'remote/store.py',
    'remote/services.py', 'remote/lanes.py', 'remote/broker.py', 'remote/entry.py',
)

# Services that a broker gets with the first request for them: name -> files, of which the last one has it.
LATE = {
    'status': ('remote/status.py',),
    'contexts': ('remote/contexts.py',),
    'modules': ('remote/live.py', 'remote/importer.py', 'remote/execute.py', 'remote/isolation.py', 'remote/logs.py',
                'remote/channel.py', 'remote/executor.py', 'remote/runner.py', 'remote/runners.py'),
    'jobs': ('remote/detached.py', 'remote/jobs.py'),
    'profile': ('remote/profiled.py', 'remote/profile.py'),
}

# A first stage that never hears from its controller ends by itself after this many seconds, as a last resort: the end
# of its stdin ends it at once.
BOOT_SECONDS = 120

# Says hello, reads on to a NUL (a password may lie there that nobody asked for), then 8 digits and that many bytes, and
# runs the first of the texts that it unpacks.  Written for any Python from 2.4 on, so that one too old can still tell
# its version.
FIRST_STAGE = '''\
import sys
sys.path=[p for p in sys.path if p]
import os,zlib,signal
signal.alarm(%d)
os.write(1,("MITOSIS:%%d.%%d\\n"%%sys.version_info[:2]).encode())
def r(n):
 b="".encode()
 while len(b)<n:
  c=os.read(0,n-len(b))
  if not c:os._exit(70)
  b+=c
 return b
while r(1)!="\\0".encode():pass
z=r(int(r(8)))
s=zlib.decompress(z).decode().split("\\0")
exec(s[0])
''' % BOOT_SECONDS

# Makes modules of the texts, by a finder, so that each is compiled when it is first imported.
LOADER = '''\
import types
t = dict(zip(s[1::2], s[2::2]))
class Shipped(object):
 def find_module(self, n, p=None):
  if n in t: return self
 def load_module(self, n):
  m = sys.modules[n] = types.ModuleType(n)
  self.exec_module(m)
  return m
 def find_spec(self, n, p=None, target=None):
  if n in t:
   from importlib.machinery import ModuleSpec
   return ModuleSpec(n, self, is_package=not t[n])
 def create_module(self, spec): pass
 def exec_module(self, m):
  n = m.__name__
  m.__file__ = n.replace(".", "/") + ".py"
  m.__package__ = n.rpartition(".")[0]
  if not t[n]:
   m.__path__ = []
   m.__package__ = n
  m.__loader__ = self
  exec(compile(t[n], m.__file__, "exec", 0, 1), m.__dict__)
 def get_source(self, n): return t[n]
t = dict((str(n), x) for n, x in t.items())
sys.meta_path.insert(0, Shipped())
from mitogen_core.remote.entry import main
main(z, t)
'''

# The Pythons that are tried where the target's own is not known, best first.
CANDIDATES = ('/usr/bin/python3', 'python3', '/usr/libexec/platform-python', '/usr/bin/python', 'python')

# Printed where no Python is there.
NO_PYTHON = 'MITOSIS-NO-PYTHON'


def sources(names: tuple[str, ...]) -> dict[str, str]:
    """Files of this package as they are sent: module name -> minified source."""
    return {'mitogen_core.' + name[:-3].replace('/', '.'): minify((ROOT / name).read_text(encoding='ascii'))
            for name in names}


def shipped_sources() -> dict[str, str]:
    """The shipped set; packages are empty."""
    return {'mitogen_core': '', 'mitogen_core.wire': '', 'mitogen_core.remote': '', **sources(SHIPPED)}


@functools.cache
def late_code() -> dict[str, tuple[str, bytes]]:
    """What LATE names: service -> (digest, its modules' names and sources, joined by NUL, as they travel)."""
    found = {}
    for service, names in LATE.items():
        text = '\0'.join(word for pair in sources(names).items() for word in pair).encode('ascii')
        found[service] = digest_of(text), deflate(text)
    return found


@functools.cache
def boot_code() -> bytes:
    """What a first stage reads after the NUL and 8 digits: zlib of texts joined by NUL."""
    texts = [LOADER]
    for name, source in shipped_sources().items():
        texts += [name, source]
    return zlib.compress('\0'.join(texts).encode('ascii'), 9)


def first_stage(python: str) -> str:
    """Shell words that start `python` (a command, possibly with arguments) on the first stage."""
    code = base64.b64encode(FIRST_STAGE.encode('ascii')).decode('ascii')
    return f'{python} -c "import sys,binascii;exec(binascii.a2b_base64(sys.argv[1]))" {code}'


def boot_command(pythons: tuple[str, ...] = CANDIDATES) -> str:
    """A line for any login shell, csh and fish too: it starts the first of `pythons` that is there, or prints NO_PYTHON
    and ends with 127."""
    names = ' '.join(dict.fromkeys(pythons))
    marker = NO_PYTHON[:7] + '""' + NO_PYTHON[7:]
    return (f"exec /bin/sh -c 'for p in {names};do command -v $p >/dev/null 2>&1&&exec {first_stage('$p')};done;"
            f"echo {marker};exit 127'")
