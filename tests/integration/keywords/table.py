"""Which programs are run with which words.  See support/scenarios.py."""

from __future__ import annotations

from tests.integration.support.scenarios import Scenario, Step

# docs/differences.md, as patterns of the lines that `differences` returns: for all scenarios.
EVERYWHERE = (
    r'ansible_env\.(SUDO_COMMAND|_): ',
    r'stderr(_lines)?(\[0\])?: \[?"Shared connection to \S+ closed',
    r'msg: ".*Data could not be sent to remote host .* \| .*Failed to connect to the host via ssh',
    # The login shell's own path, in its messages.
    r'"bash: line 1: .* \| .*"/bin/bash: line 1: ',
)
# And by the way in `connection`, which is one more name of a connection.
BY_CONNECTION = (
    r'_ansible_delegated_vars\.ansible_connection: ("(ansible\.builtin\.)?ssh"|"\(missing\)") \| "mitosis\.express\.ssh"$',
    # What is delegated from a loop to an ansible.builtin.ssh, as it is called from its second item on, has no address.
    r'in a loop .*_ansible_delegated_vars\.ansible_(host|port|user): "\(missing\)" \| ',
    r'out: changed: \[t1 -> t2\] => \(item=t2\) \| changed: \[t1 -> t2\(NETWORK\.2\)\] => \(item=t2\)',
    r'add_host\.host_vars\.ansible_connection: "ssh" \| "mitosis\.express\.ssh"$',
)

DEBUGGED = """\
p task
p task.args
p task_vars['inventory_hostname']
p result._result['rc']
p host
p nothing
task_vars['word'] = 'true'
task.vars['word'] = 'true'
update_task
r
c
p result.is_changed()
c
c
c
nonsense
help
q
"""
DEBUGGED_ONCE = """\
p task
p host
r
task_vars['word'] = 'true'
update_task
r
"""
CONSOLE = """\
id -un
cd t2
command hostname
ping
cd targets
forks 1
!hostname
become yes
become_user m_target
command id -un
become no
check yes
copy content=x dest={work}/x
check no
diff yes
copy content=x dest={work}/x
verbosity 1
command hostname
verbosity 0
remote_user m_plain
command id -un
timeout 5
list
list groups
cd nobody
help ping
no_such_module x=1
exit
"""


def play(name: str, words: str = '', allowed: tuple[str, ...] = (), stdin: str = '') -> Scenario:
    """A scenario of one playbook."""
    return Scenario(name, (Step(f'{{keywords}}/{name}.yml {words}', stdin),), allowed)


SCENARIOS = (
    play('copies', '--vault-password-file {keywords}/vault-password'),
    play('templates'),
    play('scripts', '--vault-password-file {keywords}/vault-password'),
    play('archives'),
    play('reboots', allowed=(r"msg: .*Error was: ', Shared connection to \S+ closed\.'\" \| .*Error was: ', '",)),
    play('includes'),
    play('metas', '--forks 1'),
    play('asyncs'),
    play('delegations'),
    play('turns', '--forks 1'),
    play('failures'),
    play('loops', '--forks 1'),
    play('transfers', '--vault-password-file {keywords}/vault-password', (
        # Names of files in a traceback of 2.16
        r'a folder that fails in the middle \(failed\): exception: .*ansible_payload/',
    )),
    play('settings'),
    Scenario('checks', tuple(Step(f'{{keywords}}/checks.yml {words}') for words in ('--diff', '--check --diff'))),
    play('become', '--become-password-file {keywords}/become-password', (
        # sudo's prompt on a terminal that stock has and we have not
        r'(raw|script) with a password \(ok\): stdout(_lines)?: (\["", |"\\r\\n)',
    )),
    play('accounts', allowed=(
        # It is started for no module.
        r'a shell that is not there(, as another)? \(ok\): ',
    )),
    play('interpreters'),
    # By the way in `connection`, the inventory says another one.
    Scenario('connections', (Step('{keywords}/connections/play.yml', env={
        'ANSIBLE_CALLBACKS_ENABLED': 'record,told'}),), ways=('strategy',)),
    Scenario('debugger', (Step('{keywords}/debugger.yml', DEBUGGED), Step('{keywords}/debugger-once.yml --forks 1', DEBUGGED_ONCE))),
    play('collections'),
    Scenario('words', (
        Step('{keywords}/words.yml --limit t1 --tags two,three'),
        Step('{keywords}/words.yml --limit t1:&targets --skip-tags two -v'),
        Step('{keywords}/words.yml -l t1 -e word=extra -b --become-user m_target -D'),
        Step('{keywords}/words.yml -l t1 --start-at-task second -t two'),
        Step('{keywords}/words.yml --list-tasks'),
        Step('{keywords}/words.yml -l t1 --list-hosts --list-tags'),
        Step('{keywords}/words.yml --syntax-check'),
        Step('{keywords}/words-broken.yml'),
        Step('{keywords}/words.yml -l nobody'),
        Step('{keywords}/words.yml -l t1 --step', stdin='n\ny\nc\n'),
        Step('{keywords}/words.yml -l t1 -u m_plain -t one'),
        Step('{keywords}/nothing.yml'),
    )),
    Scenario('adhoc', (
        Step('t1 -m ping -v', program='ansible'),
        Step("t1\n-m\nshell\n-a\necho out; echo err >&2; exit 3", program='ansible'),
        Step('t1\n-o\n-a\nid -un', program='ansible'),
        Step('t1 -a uptime --list-hosts', program='ansible'),
        Step('t1\n-t\n{local}/tree\n-a\necho tree', program='ansible'),
        Step('t1\n-b\n--become-user\nm_target\n-a\nid -un', program='ansible'),
        Step('t1\n-B\n20\n-P\n1\n-a\necho async', program='ansible'),
        Step('t1\n-m\ncopy\n-a\ncontent=x dest={work}/x mode=0600\n-D', program='ansible'),
        Step('t1\n-m\nraw\n-a\necho raw; exit 4', program='ansible'),
        Step('t1\n-m\nscript\n-a\n{keywords}/files/script.sh word', program='ansible'),
        Step('t1 -m no_such_module', program='ansible'),
        Step('unreachable -m ping', program='ansible'),
        Step('localhost\n-a\necho local', program='ansible'),
        Step('t1\n-c\nlocal\n-a\necho local\n-e\nansible_python_interpreter=/usr/bin/python3', program='ansible'),
        Step('t1 -m meta -a noop', program='ansible'),
        Step('t1\n-m\nsetup\n-a\ngather_subset=!all,!min,user filter=ansible_user_id', program='ansible'),
    )),
    Scenario('console', (Step('t1', stdin=CONSOLE, program='ansible-console'),)),
    Scenario('pull', (
        Step('localhost\n-m\nshell\n-a\ncp -r {keywords}/pulled {local}/repository && cd {local}/repository && git init -q . && '
             'export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z && git add -A && git -c user.name=x -c user.email=x@example.org commit -qm x', program='ansible'),
        Step('-U {local}/repository -d {local}/checkout -i localhost, --full', program='ansible-pull', inventory=False),
        Step('-U {local}/repository -d {local}/checkout -i localhost, -o local.yml', program='ansible-pull', inventory=False),
        Step('-U {local}/repository -d {local}/checkout -i localhost, --check nothing.yml', program='ansible-pull',
             inventory=False),
    )),
    Scenario('logins', tuple(Step(f'{{keywords}}/logins.yml -e who={who}') for who in ('m_nopw', 'root')), (
        # What a login or an escalation reads as it starts is read once.
        r'start-up files, changed \(ok\): stdout',
        r'another, after settings alone \(ok\): stdout',
    )),
)
