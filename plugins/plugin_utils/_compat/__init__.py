"""Every use of a name that ansible-core does not publish, with the versions that each variant is for.

Supported and tested: ansible-core 2.16 to 2.21.  Whatever is not as expected raises Unknown, and its caller goes the
stock way.
"""

from __future__ import annotations

from ansible.release import __version__

OLDEST, NEWEST = (2, 16), (2, 21)


class Unknown(Exception):
    """An internal of ansible-core is not as expected.  The text says which."""


def core_version() -> tuple[int, int]:
    """(major, minor) of the running ansible-core."""
    major, minor = __version__.split('.')[:2]
    return int(major), int(minor)


def supported() -> bool:
    """Is this ansible-core one that was tested?"""
    return OLDEST <= core_version() <= NEWEST


def not_supported() -> str:
    """The one warning of a run where supported() is false."""
    return ('mitosis: ansible-core %d.%d is not known (%d.%d to %d.%d are); everything runs the stock way'
            % (*core_version(), *OLDEST, *NEWEST))
