# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In place of one of ansible-core's that every module imports."""

SHADOWED = 'by a role'
BOOLEANS_TRUE = frozenset(('yes', 'true', 'on', '1', 'kinds', 1, True))
BOOLEANS_FALSE = frozenset(('no', 'false', 'off', '0', 0, False))
BOOLEANS = BOOLEANS_TRUE | BOOLEANS_FALSE


def boolean(value, strict=True):
    if isinstance(value, str):
        value = value.lower()
    if value in BOOLEANS_TRUE:
        return True
    if value in BOOLEANS_FALSE or not strict:
        return False
    raise TypeError('neither: %r' % (value,))
