#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kinds_nowhere import nothing

if __name__ == '__main__':
    AnsibleModule({}).exit_json(found=nothing)
