#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# WANT_JSON
import json
import os
import sys

with open(sys.argv[1]) as file:
    found = json.load(file)
print('some noise')
print(json.dumps({'changed': True, 'found': {k: v for k, v in found.items() if not k.startswith('_ansible')},
                  'mode': oct(os.stat(sys.argv[1]).st_mode), 'name': os.path.basename(sys.argv[0]), 'uid': os.getuid()}))
sys.exit(found.get('rc', 0))
