"""relay.py GATE GO PASSED COMMAND...: runs a command and passes stdin on to it.  Once the file GATE is there, it passes
nothing until the FIFO GO was opened and closed; all that it passes after that is also in the file PASSED."""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> int:
    gate, go, passed, argv = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE)
    gone = False
    assert child.stdin
    with open(passed, 'wb', 0) as log:
        while data := os.read(0, 1 << 16):
            if not gone and os.path.exists(gate):
                with open(go, 'rb') as file:
                    file.read()
                gone = True
            if gone:
                log.write(data)
            child.stdin.write(data)
            child.stdin.flush()
    child.stdin.close()
    return child.wait()


if __name__ == '__main__':
    sys.exit(main())
