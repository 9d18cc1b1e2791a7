#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.own_words import shout

if __name__ == '__main__':
    module = AnsibleModule({'text': {'required': True}}, supports_check_mode=True)
    module.exit_json(changed=False, text=shout(module.params['text']), check=module.check_mode,
                     name=module._name, verbosity=module._verbosity)
