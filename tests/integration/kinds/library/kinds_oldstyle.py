#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import os
import sys

with open(sys.argv[1]) as file:
    words = [word for word in file.read().split() if not word.startswith('_ansible')]
print('changed=true words=%d first=%s env=%s umask=%o' % (len(words), words[0], os.environ.get('KINDS'), os.umask(0)))
