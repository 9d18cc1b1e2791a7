#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# WANT_JSON
import json
import sys

with open(sys.argv[1]) as arguments:
    found = json.load(arguments)
print(json.dumps({'changed': False, 'text': found['text'], 'number': found.get('number'),
                  'check': found['_ansible_check_mode']}))
