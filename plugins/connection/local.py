# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = """
name: local
author: Mitosis contributors (@mitosis-express)
short_description: Execute on the controller, accelerated
version_added: 0.1.0
description:
  - Runs modules in a persistent interpreter of the multiplexer's, instead of starting one for each task.
  - Takes all options of P(ansible.builtin.local#connection), and C(mitosis_isolation), C(mitosis_enabled),
    C(mitosis_live), C(mitosis_boot_timeout), C(mitosis_alive_interval) and C(mitosis_alive_timeout).
options: {}
"""

from ansible.plugins.connection.local import Connection as Stock

# First: it makes the others cheap.
from ..plugin_utils import _import  # noqa: F401  # pylint: disable=unused-import
from ..plugin_utils._compat.options import define
from ..plugin_utils._connection import Express
from ..plugin_utils._login import LocalLogin

define('local', __name__)


class Connection(Express, Stock):
    """The stock plugin, with exec_command answered by a context."""

    login_type = LocalLogin
