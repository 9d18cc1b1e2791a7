# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks the multiplexer of this run what there is.  See modules/status.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ...mitogen_core.controller.log import plain
from ...mitogen_core.wire.constants import ROOT
from ...mitogen_core.wire.errors import MitosisError
from ..plugin_utils import _runtime

SECONDS = 30


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    BYPASS_HOST_LOOP = True
    _VALID_ARGS: frozenset[str] = frozenset()
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = super().run(None, task_vars)
        client = _runtime.existing_client()
        if client is None:
            answer.update(changed=False, running=False, lines=[], tree={})
            return dict(answer)
        try:
            tree, _bulk = client.call(ROOT, 'status', 'tree', {}, timeout=SECONDS, what='what the multiplexer knows')
        except MitosisError as e:
            raise AnsibleActionFail(f'mitosis: {e}') from None
        finally:
            client.close()
        tree = _text_keys(tree)
        lines = [plain(str(line)) for line in tree.pop('lines')]
        answer.update(changed=False, running=True, lines=lines, tree=tree)
        return dict(answer)


def _text_keys(value: Any) -> Any:
    """`value`, as JSON can have it."""
    if isinstance(value, dict):
        return {str(key): _text_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text_keys(item) for item in value]
    return value
