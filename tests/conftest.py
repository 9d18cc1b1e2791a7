"""For all tests."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Signals are as a terminal's foreground job has them.  A shell's background jobs, and those of nohup, ignore some,
    and so would all that is started and tested here."""
    for signum, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL),
                            (signal.SIGHUP, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, handler)
