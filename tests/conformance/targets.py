"""The integration targets of an ansible-core sdist: what they are and what they need, as ansible-test reads it."""

from __future__ import annotations

import os
import pathlib
import re
import tarfile

PLACE = pathlib.PurePosixPath('test/integration/targets')
# Targets that ansible-core itself does not run.
NOT_RUN = {'disabled', 'unsupported', 'unstable'}


def unpack(sdist: pathlib.Path, folder: pathlib.Path) -> None:
    """The sdist's files, without its top folder."""
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if '/' in member.name]
        for member in members:
            member.name = member.name.split('/', 1)[1]
            if member.islnk():
                member.linkname = member.linkname.split('/', 1)[1]
        archive.extractall(folder, members=members, filter='tar')


class Target:
    """One integration target."""

    def __init__(self, targets: pathlib.Path, name: str) -> None:
        self.name = name
        self.path = targets / name
        aliases = self.path / 'aliases'
        lines = aliases.read_text(encoding='utf-8').splitlines() if aliases.is_file() else []
        self.aliases = {alias for line in lines if (alias := line.split('#')[0].strip())}

    @property
    def problem(self) -> str:
        """Why it is not to be run, or nothing."""
        if not self.path.is_dir():
            return 'not in this sdist'
        return ' '.join(sorted(self.aliases & NOT_RUN))

    @property
    def is_script(self) -> bool:
        """A runme.sh, not a role."""
        return (self.path / 'runme.sh').is_file()

    @property
    def setup_targets(self) -> list[str]:
        """Targets that run before this one."""
        return sorted(self.values('setup/once/') | self.values('setup/always/'))

    @property
    def environment(self) -> dict[str, str]:
        """What aliases env/set/NAME/VALUE ask for."""
        return dict(value.split('/', 1) for value in self.values('env/set/'))  # type: ignore[misc]

    def values(self, prefix: str) -> set[str]:
        return {alias.removeprefix(prefix) for alias in self.aliases if alias.startswith(prefix)}

    def dependencies(self) -> set[str]:
        """Names of other targets that it uses: by aliases, as roles, or through symbolic links."""
        found = self.values('needs/target/') | set(self.setup_targets)
        for meta in self.path.rglob('meta/main.y*ml'):
            text = meta.read_text(encoding='utf-8')
            found.update(re.findall(r'^\s*-\s*(?:role:\s*)?["\']?([\w.-]+)', text, re.M))
        for root, folders, files in os.walk(self.path):
            for name in folders + files:
                link = pathlib.Path(root, name)
                if link.is_symlink():
                    resolved = pathlib.Path(os.path.normpath(link.parent / os.readlink(link)))
                    if resolved.is_relative_to(self.path.parent):
                        found.add(resolved.relative_to(self.path.parent).parts[0])
        return {name for name in found - {self.name} if (self.path.parent / name).is_dir()}


def read_names(words: list[str]) -> list[str]:
    """Targets' names from names and .txt files, without repeats."""
    names: list[str] = []
    for word in words:
        if word.endswith('.txt'):
            lines = pathlib.Path(word).read_text(encoding='utf-8').splitlines()
            names += [name for line in lines for name in line.partition('#')[0].split()]
        else:
            names.append(word)
    return list(dict.fromkeys(names))
