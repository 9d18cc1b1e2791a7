# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = """
module: observe
author: Mitosis contributors (@mitosis-express)
short_description: Run another module, and say how long it took and whether it was accelerated
version_added: 0.1.0
description:
  - Runs another module or action in this task's place, with this task's connection, become and environment.
  - Does not fail when that one fails, nor when the connection is lost meanwhile. What it returned stands in RV(result).
  - It is how the role P(mitosis.express.selfcheck#role) compares and measures.
options:
  module:
    description:
      - Name of the module or action.
    type: str
    required: true
  parameters:
    description:
      - Its parameters. What is free text in a playbook goes under C(_raw_params).
    type: dict
    default: {}
attributes:
  action:
    description: Runs on the controller, except for what the other module does.
    support: full
  async:
    description: Supported as far as the other module does, with O(ignore:poll=0).
    support: partial
  check_mode:
    description: Supported as far as the other module does.
    support: full
notes:
  - RV(ignore:changed) is always false; RV(result.changed) is the other module's.
"""

EXAMPLES = """
- name: See how long a package query takes
  mitosis.express.observe:
    module: ansible.builtin.command
    parameters:
      _raw_params: dpkg --list
  register: query

- name: Say so
  ansible.builtin.debug:
    msg: "{{ query.seconds }} s, {{ query.way | default('accelerated', true) }}"
"""

RETURN = """
result:
  description: What the other module returned; RV(result.unreachable) if the connection was lost.
  returned: always
  type: dict
  contains:
    changed:
      description: Did the other module change anything?
      returned: if the other module returned it
      type: bool
    unreachable:
      description: The connection was lost, or could not be made.
      returned: if so
      type: bool
seconds:
  description: How long it took, on the controller's clock, without the start of the task.
  returned: always
  type: float
started:
  description: When it started, as seconds since 1970.
  returned: always
  type: float
ended:
  description: When it ended, as seconds since 1970.
  returned: always
  type: float
way:
  description: An empty string if it was accelerated, else why not; null if the connection had nothing to do.
  returned: always
  type: str
"""
