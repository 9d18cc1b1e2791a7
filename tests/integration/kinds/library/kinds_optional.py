#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import traceback

try:
    import kinds_no_such_library
except ImportError:
    kinds_no_such_library = None
    TRACE = traceback.format_exc()

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

if __name__ == '__main__':
    module = AnsibleModule({})
    module.fail_json(msg=missing_required_lib('kinds_no_such_library'), library=kinds_no_such_library, exception=TRACE)
