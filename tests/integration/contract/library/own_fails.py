#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import os
import signal
import sys

from ansible.module_utils.basic import AnsibleModule


def inner():
    raise ValueError('raised on purpose')


if __name__ == '__main__':
    module = AnsibleModule({'how': {'required': True}})
    how = module.params['how']
    if how == 'raise':
        inner()
    elif how == 'exit':
        sys.exit(3)
    elif how == 'noise':
        print('noise before')
        sys.stderr.write('noise on stderr\n')
        print('{"changed": true, "noise": true}')
        print('noise after')
        sys.exit(0)
    elif how == 'fail_json':
        module.fail_json(msg='failed on purpose: ünï', rc=9, stdout='out\nput', data=[1, {'a': None}])
    elif how == 'os_exit':
        os._exit(4)
    elif how == 'kill':
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == 'text':
        sys.exit('a last word')
    elif how == 'much':
        module.exit_json(text='m' * 1500000)
    elif how == 'warn':
        module.warn('a warning')
        module.deprecate('a deprecation', version='9.9', collection_name='ansible.builtin')
        module.log('a log line')
        module.exit_json(ansible_facts={'own_fact': 'fact'}, warnings=['another warning'], diff={'before': 'a', 'after': 'b'})
