#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import json
import os
import sys

found = json.loads("""<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>""")
print(json.dumps({'changed': False, 'text': found['text'], 'terminal': os.isatty(0), 'cwd': os.getcwd(),
                  'arguments': len(sys.argv), 'version': "<<ANSIBLE_VERSION>>",
                  'private': sorted(name for name in found if name.startswith('_ansible'))}))
