#!/usr/bin/python
# Runs under each Python that some ansible-core supports on targets.
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.own_matrix_words import describe

SEEN = []


def main():
    module = AnsibleModule(argument_spec=dict(word=dict(required=True)))
    word = module.params['word']
    SEEN.append(word)
    result = dict(changed=False, word=describe(word), seen=SEEN, left=os.environ.get('LEFT'), cwd=os.getcwd(),
                  umask=os.umask(0o22), python=list(sys.version_info[:2]), argv=len(sys.argv))
    if word == 'messy':
        os.environ['LEFT'] = 'left'
        os.chdir('/usr')
        os.umask(0o77)
    if word == 'raise':
        raise RuntimeError('on purpose')
    if word == 'die':
        os._exit(3)
    module.exit_json(**result)


if __name__ == '__main__':
    main()
