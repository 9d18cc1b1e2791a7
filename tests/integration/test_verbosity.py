"""What -v to -vvvv add: few lines of ours, each with our name; no secret; warnings as stock gives them."""

from __future__ import annotations

import collections
import pathlib
import re

import pytest

from tests.integration.support.control import HERE, Control, Finished
from tests.integration.support.hosts import Hosts

pytestmark = pytest.mark.timeout(300)

# By make-users: the password of an account is its name and this.
SECRETS = ('m_pw-secret', 'm_plain-secret', 'option-secret', 'result-secret', 'input-secret')
HOSTS = '''[targets]
sudo ansible_host={address} ansible_user=m_pw ansible_become_password=m_pw-secret
login ansible_host={address} ansible_user=m_plain ansible_password=m_plain-secret ansible_ssh_private_key_file=
[targets:vars]
ansible_ssh_extra_args=-o PreferredAuthentications=publickey,password
option_secret=option-secret
result_secret=result-secret
input_secret=input-secret
'''
# Secrets are variables: ansible-core quotes the lines of a task that fails.
PLAY = '''
- hosts: sudo,login
  gather_facts: false
  become: "{{ inventory_hostname == 'sudo' }}"
  tasks:
    - name: a module that warns
      kinds_end:
        how: deprecated
    - name: it warns again
      kinds_end:
        how: deprecated
    - name: ansible-core warns
      command: echo
      when: "{{ true }}"
    - name: an option that is a secret
      kinds_toplevel:
        secret: "{{ option_secret }}"
    - name: the same, which fails
      kinds_toplevel:
        secret: "{{ option_secret }}"
        choice: none of them
      ignore_errors: true
    - name: a result that is a secret
      shell: echo {{ result_secret }}; exit 3
      no_log: true
      ignore_errors: true
    - name: a module that dies with a secret
      kinds_end:
        how: os_exit
        secret: "{{ option_secret }}"
      no_log: true
      ignore_errors: true
    - name: a file
      copy:
        content: "{{ input_secret }}"
        dest: /tmp/verbosity-{{ inventory_hostname }}
      no_log: true
    - name: it goes
      file:
        path: /tmp/verbosity-{{ inventory_hostname }}
        state: absent
'''
# What stock's connection plugins say, in other words or other numbers.
OF_CONNECTIONS = re.compile(r'<[\w.]+> (EXEC|PUT|FETCH|SSH: |ESTABLISH|Escalation|\(\d)|^(debug\d|OpenSSH_|Escalation)')


def runs(control: Control, hosts: Hosts, folder: pathlib.Path, level: int) -> Finished:
    control.add_inventory('secrets.ini', HOSTS.format(address=hosts.addresses['t1']))
    path = folder / 'play.yml'
    path.write_text(PLAY)
    verbosity = ['-' + 'v' * level] if level else []
    env = {'ANSIBLE_LIBRARY': str(HERE / 'kinds' / 'library'), 'ANSIBLE_DEPRECATION_WARNINGS': 'true',
           'MITOSIS_LOG': str(folder / 'log'), 'ANSIBLE_CALLBACK_RESULT_FORMAT': 'json'}
    return control.playbook(path, *verbosity, env=env, seconds=120)


def warnings(done: Finished) -> collections.Counter[str]:
    """Each warning, however its lines were broken, and how often it was given."""
    texts = re.findall(r'^\[(?:DEPRECATION )?WARNING\]:.*?(?=^\[|^\s*$|^mitosis:|\Z)', done.err, re.M | re.S)
    return collections.Counter(' '.join(text.split()) for text in texts)


def lines(done: Finished, folder: pathlib.Path) -> set[str]:
    """The lines of all output, without numbers and a run's own names."""
    text = re.sub(re.escape(str(folder)) + r'(/stock)?', 'FOLDER', done.text)
    text = re.sub(r'ansible-local-\w+|ansible-tmp-[\w.-]+|\btmp\w{8}\b|(?<=BECOME-SUCCESS-)\w+', 'OWN', text)
    return {re.sub(r'\d+', 'N', line).strip(' ,') for line in text.splitlines()}


@pytest.mark.parametrize('level', [0, 1, 2, 3, 4], ids='level{}'.format)
def test_verbosity(level: int, network: Hosts, control: Control, stock: Control, tmp_path: pathlib.Path) -> None:
    if control.way == 'connection':
        stock.add_inventory('connection.ini', '[targets]\n')  # as many as ours has
    usual, ours = (runs(one, network, tmp_path, level) for one in (stock, control))
    assert usual.code == ours.code == 0, f'{usual}\n{ours}'
    log = (tmp_path / 'log').read_text()
    assert [secret for secret in SECRETS if secret in ours.text] == [secret for secret in SECRETS if secret in usual.text] == []
    assert [secret for secret in SECRETS if secret in log] == []
    assert len(log.splitlines()) > 2

    extra = warnings(ours) - warnings(usual)
    assert not warnings(usual) - warnings(ours), ours.err
    # ansible-core's word about strategies of collections, once
    assert all('strateg' in text for text in extra) and extra.total() <= (control.way == 'strategy'), extra
    assert any('a warning of the module' in text for text in warnings(usual))
    assert any('a deprecation' in text for text in warnings(usual))

    more = lines(ours, tmp_path) - lines(usual, tmp_path)
    marked = {line for line in more if 'mitosis' in line.lower() or line in extra}
    if level < 3:
        assert more == marked, sorted(more - marked)
    else:
        assert [line for line in more - marked if not OF_CONNECTIONS.search(line)] == []
    assert len(marked) <= 8, sorted(marked)
