"""A profiled supervisor of a runner takes the place of the one in runner.py.

Executors are not profiled: what they do is the module's own work, which would take longer by it.
"""

from ..wire.constants import PUBLISH
from . import runner
from .profile import PROFILER, stats


class Profiled(runner.Supervisor):
    """It tells at its end."""

    def main(self):
        PROFILER.clear()
        super(Profiled, self).main()

    def _end(self):
        try:
            head, data = stats(u'runner')
            self.tell(PUBLISH, dict(head, live=0), data)
        finally:
            super(Profiled, self)._end()


def executor_main(*args):
    PROFILER.disable()
    execute(*args)


execute, runner.executor_main = runner.executor_main, executor_main
runner.Supervisor = Profiled
