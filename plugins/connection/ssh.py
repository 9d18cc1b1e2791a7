# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = """
name: ssh
author: Mitosis contributors (@mitosis-express)
short_description: Connect by the ssh client, accelerated
version_added: 0.1.0
description:
  - Runs modules, commands and transfers in persistent contexts on the target, over one ssh link for each way to log in.
  - Takes all options of P(ansible.builtin.ssh#connection), and C(mitosis_isolation), C(mitosis_enabled),
    C(mitosis_live), C(mitosis_boot_timeout), C(mitosis_alive_interval) and C(mitosis_alive_timeout).
options: {}
"""

from ansible.plugins.connection.ssh import Connection as Stock

# First: it makes the others cheap.
from ..plugin_utils import _import  # noqa: F401  # pylint: disable=unused-import
from ..plugin_utils._compat.options import define
from ..plugin_utils._connection import Express
from ..plugin_utils._login import SshLogin

define('ssh', __name__)


class Connection(Express, Stock):
    """The stock plugin, with exec_command, put_file and fetch_file answered by a context."""

    login_type = SshLogin
