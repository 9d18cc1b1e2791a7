"""ansible-core in this process, with folders of its own and nobody's settings.  Runs before anything imports it."""

from __future__ import annotations

import tests.support.own_ansible  # noqa: F401
