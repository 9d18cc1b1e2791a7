"""Names of connection plugins, and of variables that name one."""

from __future__ import annotations

# What stands in for stock's.
NAMES = {prefix + name: 'mitosis.express.' + name
         for name in ('ssh', 'local') for prefix in ('', 'ansible.builtin.', 'ansible.legacy.')}
ANY = 'mitosis.express.any'
# The variable that names the plugin that ANY accelerates.
INNER = 'mitosis_connection'
