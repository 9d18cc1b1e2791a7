# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In place of ansible-core's own."""


def split_args(text):
    return ['beside the playbook', text]
