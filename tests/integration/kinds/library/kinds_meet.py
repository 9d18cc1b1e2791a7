#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Comes to a meeting, and waits until all are there."""
import os
import time

from ansible.module_utils.basic import AnsibleModule


def main():
    module = AnsibleModule({'name': {}, 'folder': {}, 'count': {'type': 'int'}, 'seconds': {'type': 'int'}})
    want = module.params
    open(os.path.join(want['folder'], want['name']), 'w').close()
    end = time.monotonic() + want['seconds']
    while len(os.listdir(want['folder'])) < want['count']:
        if time.monotonic() > end:
            module.fail_json(msg='%d came' % len(os.listdir(want['folder'])))
        time.sleep(0.05)
    module.exit_json(all=True)


if __name__ == '__main__':
    main()
