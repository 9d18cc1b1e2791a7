"""Where the shipped code begins to run: give the process its place, say hello, serve."""

import fcntl
import os
import signal
import sys

from ..wire.constants import ALIVE, HELLO
from ..wire.frames import HEADER, HEADER_SIZE, Frame
from ..wire.hello import check_hello
from ..wire.payloads import pack, unpack
from .broker import Broker
from .loop import Loop


def read_exactly(size):
    data = b''
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more:
            os._exit(70)
        data += more
    return data


def main(code, texts):
    """Become a broker.  `code` is the compressed boot text, kept to start child contexts from; `texts` is the loader's
    dict of module names and sources, which takes more."""
    fields = HEADER.unpack(read_exactly(HEADER_SIZE))
    head = check_hello(unpack(read_exactly(fields[5]))[0])
    signal.alarm(0)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Descriptors 0 and 1 belong to whoever runs here later; the link lives higher.
    fds = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (0, 1)]
    null = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1):
        os.dup2(null, target)
    os.close(null)
    sys.argv[:] = ['']
    loop = Loop()
    boot = {u'code': code, u'texts': texts, u'parent': head[u'id'], u'alive': head.get(u'alive', ALIVE),
            u'late': head.get(u'late', {})}
    broker = Broker(loop, head[u'child'], fds, boot)
    broker.parent.event('hello')
    broker.parent.keep_alive(*(tuple(broker.boot[u'alive']) + (broker.on_silence,)))
    broker.parent.send(Frame(head[u'id'], broker.id, HELLO, 0, pack(broker.hello())))
    signal.signal(signal.SIGUSR1, lambda *_: loop.soon(broker.dump))
    loop.run()
