#!/usr/bin/python
"""Runs a command that prints `word`, and has a secret."""

from ansible.module_utils.basic import AnsibleModule

module = AnsibleModule(argument_spec={'word': {'required': True}, 'secret': {'no_log': True}})
rc, out, err = module.run_command(['echo', module.params['word']])
module.exit_json(rc=rc, out=out)
