# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prints what callbacks can know of a task's connection."""

from __future__ import annotations

DOCUMENTATION = """
name: told
type: notification
author: Mitosis contributors
short_description: Print connections
description: See the file.
"""

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'notification'
    CALLBACK_NAME = 'told'
    CALLBACK_NEEDS_ENABLED = True

    def set_play_context(self, play_context):
        self._play_context = play_context

    def v2_playbook_on_play_start(self, play):
        self._display.display(f'told: play {play.get_name()}: {play.connection} {play.remote_user}')
        self._variables = play.get_variable_manager()
        self._play = play

    def v2_runner_on_start(self, host, task):
        found = self._variables.get_vars(play=self._play, host=host, task=task)
        self._display.display(f'told: start {task.connection} {task.remote_user} {task.become} {task.get_path()} '
                              f'{found.get("ansible_connection")} {self._play_context.connection}')

    def v2_runner_on_ok(self, result):
        self._display.display(f'told: ok {result._task.connection} '
                              f'{result._task_fields.get("connection")} '
                              f'{result._result.get("_ansible_delegated_vars")}')
