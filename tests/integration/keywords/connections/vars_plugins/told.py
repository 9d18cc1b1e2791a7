# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives each host a variable that tells its connection's variables."""

from __future__ import annotations

DOCUMENTATION = """
name: told
author: Mitosis contributors
short_description: Connections
description: See the file.
"""

from ansible.plugins.vars import BaseVarsPlugin


class VarsModule(BaseVarsPlugin):
    REQUIRES_ENABLED = False

    def get_vars(self, loader, path, entities, cache=True):
        super().get_vars(loader, path, entities)
        entities = entities if isinstance(entities, list) else [entities]
        return {f'told_{type(entity).__name__}': f'{entity.name} {entity.vars.get("ansible_connection")}'
                for entity in entities}
