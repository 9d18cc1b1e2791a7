#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All of its work is done by being imported, and its options are odd."""
import sys

from ansible.module_utils.basic import AnsibleModule, env_fallback

module = AnsibleModule(
    {'text': {'aliases': ['words'], 'fallback': (env_fallback, ['KINDS'])}, 'many': {'type': 'list', 'elements': 'int'},
     'secret': {'no_log': True}, 'size': {'type': 'bytes'}, 'raw': {'type': 'raw'}, 'choice': {'choices': ['a', 'b']},
     'sub': {'type': 'dict', 'options': {'path': {'type': 'path'}, 'flag': {'type': 'bool', 'default': True}}}},
    mutually_exclusive=[('text', 'raw')], required_together=[('many', 'size')])
print('noise before')
module.exit_json(params=module.params, secret=module.params['secret'], names=sorted(sys.modules['__main__'].__dict__)[:9])
