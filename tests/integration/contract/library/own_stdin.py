#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import os
import sys

from ansible.module_utils.basic import AnsibleModule

if __name__ == '__main__':
    module = AnsibleModule({})
    module.exit_json(stdin=sys.stdin.read(), terminal=os.isatty(0), argv=sys.argv[1:], main=__name__)
