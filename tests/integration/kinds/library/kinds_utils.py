#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module_utils of all places."""
from ansible.module_utils import kinds_words
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.parsing import convert_bool
from ansible.module_utils.splitter import split_args
from ansible_collections.own.kinds.plugins.module_utils import words
from ansible_collections.own.kinds.plugins.module_utils.deep.words import DEEP

if __name__ == '__main__':
    module = AnsibleModule({'flag': {'type': 'bool'}})
    module.exit_json(words=kinds_words.COUNTED, again=kinds_words.count(), split=split_args('a b'), collection=words.WORD,
                     deep=DEEP, flag=module.params['flag'], shadowed=getattr(convert_bool, 'SHADOWED', None),
                     files=[m.__file__.partition('.zip/')[2] for m in (kinds_words, convert_bool, words)])
