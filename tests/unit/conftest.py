"""Settings of the unit tests.  MITOSIS_FUZZ=1 lets property tests try new and many more examples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile('gate', max_examples=30, derandomize=True, deadline=None, database=None,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile('fuzz', settings.get_profile('gate'), max_examples=3000, derandomize=False)
settings.load_profile('fuzz' if os.environ.get('MITOSIS_FUZZ') else 'gate')
