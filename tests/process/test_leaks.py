"""The checks at the end of each test see what they are to see."""

from __future__ import annotations

import os
import subprocess
import threading

import pytest

from tests.support import interpreters, leaks
from tests.support.engine import Engine
from tests.support.standin import Runners


def test_a_process_is_found_and_ended(clean: str):
    process = subprocess.Popen(['sleep', '1000'])
    with pytest.raises(AssertionError, match=f'processes left: {process.pid} .*sleep 1000'):
        leaks.no_processes(clean, seconds=0)
    assert process.wait(10) == -9


def test_an_orphan_is_found(clean: str):
    done = subprocess.run(['/bin/sh', '-c', 'sleep 1000 >/dev/null & echo $!'], stdout=subprocess.PIPE, check=True)
    with pytest.raises(AssertionError, match=f'{int(done.stdout)} '):
        leaks.no_processes(clean, seconds=0)
    leaks.wait_until(lambda: not leaks.alive(int(done.stdout)), 'its end')


def test_a_process_that_nobody_waited_for_is_found(clean: str):
    process = subprocess.Popen(['true'])
    leaks.wait_until(lambda: not leaks.alive(process.pid), 'its end')
    with pytest.raises(AssertionError, match=f'{process.pid} '):
        leaks.no_processes(clean, seconds=0)
    process.wait()


def test_a_stray_of_an_engine_is_found(engine: Engine):
    context = engine.local(interpreters.newest().path)
    code = 'result["child"] = os.fork()\nif not result["child"]: signal.pause()'
    child = Runners(engine, context).probe(code).value['child']
    strays = leaks.strays(engine.mark, engine.mux_pid)
    assert {each.pid for each in strays} == {child, engine.watched.pid}
    leaks.end([leaks.process(child)], engine.mark)


def test_descriptors_and_threads_are_found():
    here = leaks.Here()
    fd = os.open('/dev/null', os.O_RDONLY)
    with pytest.raises(AssertionError, match=r"descriptors left open: \{'\d+': '/dev/null'\}"):
        here.check()
    os.close(fd)
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    with pytest.raises(AssertionError, match='threads left'):
        here.check()
    end.set()
    thread.join()
    here.check()
