"""malicious.py DEED ARGUMENTS...: the program of a target that does one of misdeeds.py.

`-c` and what follows it, as for a Python, may come behind; they are not looked at.  After its deed it answers like an
honest broker that knows only a few services.
"""

from __future__ import annotations

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.support.misdeeds import DEEDS, GREETINGS
from tests.support.villain import Villain


def noise() -> None:
    while True:
        os.write(2, bytes(1 << 16))


def no_mark() -> None:
    time.sleep(1000)


# Instead of what the first stage says.
BEFORE = {'noise': noise, 'no_mark': no_mark}


def main() -> None:
    name = sys.argv[1]
    villain = Villain(sys.argv[2:])
    if name in BEFORE:
        BEFORE[name]()
    villain.boot()
    if name in GREETINGS:
        GREETINGS[name](villain)
        while True:
            villain.next()
    villain.write(villain.hello())
    first = True
    for request in villain.requests():
        if first:
            DEEDS[name](villain, request)
        else:
            villain.honestly(request)
        first = False


if __name__ == '__main__':
    main()
