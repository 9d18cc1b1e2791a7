"""What tests call in contexts: for every supported Python."""

import logging
import os
import select
import signal

from mitogen_core.remote.channel import Writer, publish

from . import remote_helper


def same(value):
    return value


def helped(number):
    return remote_helper.double(number)


def fail(word):
    raise KeyError(word)


def strange():
    return object()


def warn(word):
    logging.getLogger('own').warning(word)


def forever():
    signal.pause()


def meet(here, go):
    """Say that we are here, then wait until `go` was opened for writing and closed."""
    gone = os.open(go, os.O_RDONLY | os.O_NONBLOCK)
    fd = os.open(here, os.O_WRONLY)
    os.write(fd, b'.')
    select.select([gone], [], [])
    return os.read(gone, 1)


def say(slot, values, bulk, keep=False):
    for value in values:
        publish(slot, value, bulk, keep)
    return len(values)


def say_for_ever(alive, slot, bulk):
    os.open(alive, os.O_WRONLY)
    while True:
        publish(slot, None, bulk)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def say_in_a_fork(slot):
    publish(slot, u'before')
    pid = os.fork()
    if not pid:
        publish(slot, 'in a fork')
        os._exit(0)
    os.waitpid(pid, 0)
    publish(slot, u'after')


def write(slot, texts):
    out = Writer(slot)
    for text in texts:
        out.write(text)
    out.close()
