#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has a secret in its hands for a while, and may then break."""
import os
import time

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule({'secret': {'no_log': True}, 'seconds': {'type': 'float', 'default': 1.5}, 'how': {}})
    held = [module.params['secret'], {'again': module.params['secret']}]
    time.sleep(module.params['seconds'])
    if module.params['how'] == 'raise':
        raise ValueError('it breaks')
    if module.params['how'] == 'exit':
        os._exit(9)
    if module.params['how'] == 'abort':
        os.abort()
    module.exit_json(held=len(held))


main()
