# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = """
module: status
author: Mitosis contributors (@mitosis-express)
short_description: Show the contexts of this run, their links, and who waits for whom
version_added: 0.1.0
description:
  - Asks the multiplexer of this run, and through it each context, what there is. Starts nothing, and changes nothing.
  - Sending C(SIGUSR1) to the multiplexer writes the same to the log (E(MITOSIS_LOG)) or, without one, to the file
    C(mitosis/status.txt) in Ansible's local temporary folder; a broker that gets the signal says it in that log.
options: {}
attributes:
  action:
    description: Runs on the controller, once for all hosts.
    support: full
  check_mode:
    description: Changes nothing.
    support: full
"""

EXAMPLES = """
- name: See what there is
  mitosis.express.status:
  register: found

- name: Show it
  ansible.builtin.debug:
    var: found.lines
"""

RETURN = """
running:
  description: Is there a multiplexer?
  returned: always
  type: bool
lines:
  description: The tree, for people.
  returned: always
  type: list
  elements: str
tree:
  description: The same as data; empty where nothing is running. What is in it may change with the version.
  returned: always
  type: dict
"""
