# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = """
name: free
author: Mitosis contributors (@mitosis-express)
short_description: The stock strategy free, accelerated
version_added: 0.1.0
description:
  - Executes tasks without waiting for all hosts, as P(ansible.builtin.free#strategy) does.
  - Connections V(ssh) and V(local), under these names and their full ones, run accelerated, with inventories and
    playbooks as they are.
"""

from ansible.plugins.strategy.free import StrategyModule as Stock

# First: it makes the others cheap.
from ..plugin_utils import _import  # noqa: F401  # pylint: disable=unused-import
from ..plugin_utils._strategy import Accelerated


class StrategyModule(Accelerated, Stock):
    """The stock strategy on accelerated connections."""
