# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells what a lookup can see of a connection."""

from __future__ import annotations

DOCUMENTATION = """
name: told
author: Mitosis contributors
short_description: Connections
description: See the file.
"""

import os

from ansible.plugins.lookup import LookupBase


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        names = ('ansible_connection', 'ansible_host', 'ansible_user', 'inventory_hostname')
        return [f'{name}={variables.get(name)}' for name in names] + [os.path.basename(os.getcwd())]
