#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.kinds_role_words import WORD
from ansible.module_utils.kinds_words import COUNTED

if __name__ == '__main__':
    AnsibleModule({}).exit_json(word=WORD, counted=COUNTED)
