#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from ansible.module_utils.basic import AnsibleModule

from ..module_utils.deep import words as deep
from ..module_utils.words import WORD

if __name__ == '__main__':
    module = AnsibleModule({})
    module.exit_json(word=WORD, deep=deep.DEEP, name=module._name, package=__package__, main=__name__)
