"""Writes a line for the start and the end of each task on each host: seconds, event, host, task."""

from __future__ import annotations

import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: durations
type: notification
short_description: When tasks began and ended on each host
description: For tests/bench/latency.py.
options: {}
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'notification'
    CALLBACK_NAME = 'durations'
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._file = open(os.environ['DURATIONS_FILE'], 'a', buffering=1)  # noqa: SIM115

    def _write(self, event, host, task):
        self._file.write(f'{time.monotonic()} {event} {host} {task}\n')

    def v2_runner_on_start(self, host, task):
        self._write('start', host.get_name(), task.get_name())

    def v2_runner_on_ok(self, result):
        self._write('ok', result._host.get_name(), result._task.get_name())
