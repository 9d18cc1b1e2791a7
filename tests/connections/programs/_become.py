#!/usr/bin/python3 -IBS
"""Stands in for programs that run a command as somebody else.  The name it is called by says which, and with it what
the command line looks like and what is said and asked.

The option --standin=NAME, which ansible_become_flags can give, has it behave as $MITOSIS_STANDINS/become.json says of
NAME:

  banner    what is printed first
  pause     seconds to wait after it, and after each prompt
  prompts   what is asked for, one after the other: [] is nothing, {prompt} the usual words
  tries     how often a wrong password is asked for again
  password  the right one
  wrong     what is said of another one
  after     what is said after the right one
  refuse    end with this exit code then
  hang      seconds to wait before anything is said, without a word
  out       where banner and prompts go: stdout, stderr, tty
  read      where passwords come from: stdin, tty
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import _standin

NAME = os.path.basename(sys.argv[0])
POLKIT = '==== AUTHENTICATING FOR org.freedesktop.systemd1.manage-units ====\nAuthentication is required.\n'
USUAL: dict[str, Any] = {'banner': '', 'prompts': ['{prompt}'], 'password': 'right', 'tries': 1, 'after': '',
                         'refuse': 0, 'hang': 0, 'pause': 0, 'out': 'stderr', 'read': 'stdin'}
# What each program says and does where nothing else is told.
OF: dict[str, dict[str, Any]] = {
    'doas': {'usual': f'doas (somebody@{socket.gethostname()}) password: ', 'wrong': 'doas: Authorization failed\n',
             'none': 'doas: Authorization required\n'},
    'dzdo': {'usual': '[dzdo] password: ', 'wrong': 'Sorry, try again.\n', 'tries': 3,
             'end': 'dzdo: 3 incorrect password attempts\n', 'none': 'dzdo: a password is required\n'},
    'ksu': {'usual': 'Kerberos password for somebody@EXAMPLE.COM: ', 'none': 'No password given\n', 'out': 'stdout',
            'wrong': 'ksu: Password incorrect\nAuthentication failed.\n'},
    'machinectl': {'usual': 'Password: ', 'banner': POLKIT, 'wrong': '==== AUTHENTICATION FAILED ====\n',
                   'after': '==== AUTHENTICATION COMPLETE ====\n', 'end': 'Failed to get shell PTY: Access denied\n',
                   'out': 'stdout'},
    'pbrun': {'usual': 'Password:', 'wrong': 'pbrun8.0: Request rejected by pbmasterd\n'},
    'pfexec': {'usual': '', 'prompts': []},
    'pmrun': {'usual': 'Enter UPM user password:', 'wrong': 'Request rejected by pmmasterd\n'},
    'run0': {'usual': 'Password: ', 'banner': POLKIT, 'wrong': '==== AUTHENTICATION FAILED ====\n', 'out': 'stdout',
             'after': '==== AUTHENTICATION COMPLETE ====\n',
             'end': 'Failed to start transient service unit: Access denied\n'},
    'sesu': {'usual': 'Please enter your password:', 'wrong': 'Sorry, try again with sesu.\n'},
    'su': {'usual': 'Password: ', 'wrong': 'su: Authentication failure\n'},
    'sudo': {'usual': '[sudo] password for somebody: ', 'wrong': 'Sorry, try again.\n', 'tries': 3,
             'end': 'sudo: 3 incorrect password attempts\n', 'none': 'sudo: a password is required\n'},
}


def command_line(words: _standin.Words) -> tuple[str, list[str], dict[str, str]]:
    """The user to become, the command, and the options, as this program would read them."""
    unknown = f'{NAME}: unrecognized option \'%s\''
    options = words.options({'--standin', '-u', '--user', '-p', '-g', '-s'},
                            {'-n', '-H', '-S', '-i', '-q', '-l', '-k', '-D', '-'}, unknown)
    more = {'--standin'}, {'-n', '-H', '-S', '-l', '-q', '-'}, unknown
    user = options.get('-u', options.get('--user', 'root'))
    if NAME == 'machinectl':
        if words.next() != 'shell':
            _standin.die('Unknown command verb')
        options.update(words.options(*more))
        user = words.next().partition('@')[0] or 'root'
    elif NAME == 'su':
        # Its options may stand anywhere; what else stands behind the user is the shell's.
        plain = [word for word in words.rest if not word.startswith('--standin=')]
        options.update(word.split('=', 1) for word in words.rest if word.startswith('--standin='))
        command = [options.get('-s', '/bin/sh')]
        if '-c' in plain:
            place = plain.index('-c')
            command += plain[place:place + 2]
            del plain[place:place + 2]
        return plain[0] if plain else 'root', [*command, *plain[1:]], options
    elif NAME in ('sesu', 'ksu'):
        # These name the user in the midst of their options; the command follows -c or -e.
        user = words.next() if words.rest and not words.rest[0].startswith('-') else 'root'
        options.update(words.options({'--standin'}, {'-c', '-e', *more[1]}, unknown))
    if not words.rest:
        _standin.die(f'usage: {NAME} command', 2)
    if NAME in ('pbrun', 'pmrun') and len(words.rest) == 1:
        return user, ['/bin/sh', '-c', *words.rest], options
    return user, words.rest, options


def behaviour(options: dict[str, str]) -> dict[str, Any]:
    told = {}
    if '--standin' in options:
        with open(os.path.join(_standin.state(), 'become.json'), encoding='utf-8') as file:
            told = json.load(file)[options['--standin']]
    return {**USUAL, **OF[NAME], **told}


def authenticate(how: dict[str, Any], options: dict[str, str]) -> None:
    """Say and ask what there is to say and ask; who is not let in does not return."""
    time.sleep(how['hang'])
    out = {'stdout': 1, 'stderr': 2}.get(how['out'])
    if 'tty' in (how['out'], how['read']):
        try:
            tty = os.open('/dev/tty', os.O_RDWR)
        except OSError:
            _standin.die(f'{NAME}: a terminal is required to read the password')
        out = tty if how['out'] == 'tty' else out
    usual = options.get('-p', how['usual'])
    os.write(out, how['banner'].encode())
    time.sleep(how['pause'])
    if '-n' in options and NAME in ('doas', 'dzdo', 'sudo') and how['prompts']:
        os.write(2, how.get('none', '').encode())
        sys.exit(1)
    for prompt in how['prompts']:
        for _ in range(how['tries']):
            os.write(out, prompt.replace('{prompt}', usual).encode())
            time.sleep(how['pause'])
            line = b''
            # One byte after the other: what follows is the command's.
            while (byte := os.read(tty if how['read'] == 'tty' else 0, 1)) not in (b'', b'\n'):
                line += byte
            if not byte:
                os.write(2, how.get('none', f'{NAME}: no password was provided\n').encode())
                sys.exit(1)
            if line.decode() == how['password']:
                break
            os.write(2, how['wrong'].encode())
        else:
            os.write(2, how.get('end', '').encode())
            sys.exit(1)
    os.write(out, how['after'].encode())
    if how['refuse']:
        sys.exit(how['refuse'])


user, command, options = command_line(_standin.Words(sys.argv[1:]))
# Whom sudo made root is asked nothing by su.
if NAME != 'su' or 'SUDO_USER' not in os.environ:
    authenticate(behaviour(options), options)
environ = {key: value for key, value in os.environ.items() if key not in ('USER', 'LOGNAME')}
try:
    _standin.become(user)
except KeyError:
    _standin.die(f'{NAME}: unknown user {user}')
environ.update(USER=user, LOGNAME=user, **({'SUDO_USER': 'somebody'} if NAME == 'sudo' else {}))
if '-H' in options or '-l' in options:
    import pwd
    environ['HOME'] = pwd.getpwnam(user).pw_dir
program = shutil.which(command[0])
if not program:
    _standin.die(f'{NAME}: {command[0]}: command not found', 127)
os.execve(program, command, environ)
