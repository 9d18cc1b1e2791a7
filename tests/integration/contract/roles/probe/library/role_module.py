#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.role_words import whisper

if __name__ == '__main__':
    module = AnsibleModule({'word': {'required': True}})
    module.exit_json(changed=True, word=whisper(module.params['word']))
