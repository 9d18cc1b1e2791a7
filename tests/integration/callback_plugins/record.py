# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes each event that callbacks see as a line of JSON to the file that RECORD_FILE names."""

from __future__ import annotations

DOCUMENTATION = """
name: record
type: notification
author: Mitosis contributors
short_description: Write results as lines of JSON
description: See the file.
"""

import json
import os

from ansible.parsing.ajson import AnsibleJSONEncoder
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'notification'
    CALLBACK_NAME = 'record'
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, **record):
        path = os.environ.get('RECORD_FILE')
        if path:
            with open(path, 'a', encoding='utf-8') as file:
                file.write(json.dumps(record, cls=AnsibleJSONEncoder, sort_keys=True) + '\n')

    def _result(self, event, result, **more):
        self._write(event=event, host=result._host.get_name(), task=result._task.get_name().strip(),
                    result=result._result, **more)

    def v2_runner_on_ok(self, result):
        self._result('ok', result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._result('failed', result, ignore_errors=bool(ignore_errors))

    def v2_runner_on_skipped(self, result):
        self._result('skipped', result)

    def v2_runner_on_unreachable(self, result):
        self._result('unreachable', result)

    def v2_runner_item_on_ok(self, result):
        self._result('item ok', result)

    def v2_runner_item_on_failed(self, result):
        self._result('item failed', result)

    def v2_runner_item_on_skipped(self, result):
        self._result('item skipped', result)

    def v2_runner_retry(self, result):
        self._result('retry', result)

    def v2_on_file_diff(self, result):
        self._result('diff', result)

    def v2_playbook_on_stats(self, stats):
        for host in sorted(stats.processed):
            self._write(event='stats', host=host, task='', result=stats.summarize(host))
