"""What is measured: playbooks, with the number of hosts that each needs and the `ok` count that each host must have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

COMMAND = {"name": "A command", "ansible.builtin.command": "hostname"}


@dataclass
class Work:
    name: str
    text: str
    hosts: int
    tasks: list[dict[str, Any]]
    # Below 0: any.
    expected_ok: int

    @property
    def playbook(self) -> str:
        """The playbook's text: JSON is YAML."""
        pattern = "targets[0]" if self.hosts == 1 else f"targets[0:{self.hosts - 1}]"
        return json.dumps([{"name": self.text, "hosts": pattern, "gather_facts": False, "tasks": self.tasks}])


LOOP = {
    "name": "Many commands",
    "ansible.builtin.command": "echo {{ item }}",
    "loop": list(range(100)),
}
MIXED = {"name": "The role", "ansible.builtin.import_role": {"name": "mixed"}}

WORKS = {
    work.name: work
    for work in (
        Work("one", "one command, cold", 1, [COMMAND], 1),
        Work("loop", "a loop of 100 commands", 1, [LOOP], 1),
        Work("tasks", "100 command tasks on one host", 1, [COMMAND] * 100, 100),
        Work("mixed1", "a mixed role of 20 tasks on one host", 1, [MIXED], 20),
        Work("mixed10", "a mixed role of 20 tasks on 10 hosts", 10, [MIXED], 20),
        Work("many", "20 commands on 20 hosts", 20, [COMMAND] * 20, 20),
    )
}
