#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import getpass
import json
import shlex
import sys

with open(sys.argv[1]) as arguments:
    words = shlex.split(arguments.read())
print(json.dumps({'changed': False, 'user': getpass.getuser(), 'words': sorted(w for w in words if w[0] != '_')}))
