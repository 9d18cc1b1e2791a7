#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
import json
import os
import signal
import sys

from ansible.module_utils.basic import AnsibleModule

if __name__ == '__main__':
    module = AnsibleModule({'step': {'required': True}})
    if module.params['step'] == 'make':
        os.chdir('/usr/lib')
        os.umask(0o077)
        os.environ['OWN_MESSY'] = 'dirty'
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        sys.path.append('/own/messy')
        json.own_messy = True
        sys.modules['own_messy_module'] = json
        os.open('/etc/hostname', os.O_RDONLY)
        module.exit_json(changed=True)
    mask = os.umask(0)
    os.umask(mask)
    fds = [fd for fd in range(3, 64) if os.path.exists('/proc/self/fd/%d' % fd)
           and os.readlink('/proc/self/fd/%d' % fd) == '/etc/hostname']
    module.exit_json(cwd=os.getcwd(), umask=oct(mask), env=os.environ.get('OWN_MESSY'), path='/own/messy' in sys.path,
                     patched=hasattr(json, 'own_messy'), module='own_messy_module' in sys.modules, fds=len(fds),
                     ignored=signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN)
