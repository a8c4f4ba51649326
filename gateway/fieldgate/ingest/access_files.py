"""The users and ACL files of a listener, read again when they change.

A file that cannot be used never opens the door: what was read last stays in force for those who are in, and nobody
new comes in until it is mended. What `load` reads is read in the caller's thread; it looks at the disk only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldgate.config.acl_file import read_acl
from fieldgate.config.listen import ListenAuthConfig
from fieldgate.config.users_file import MAX_USERS_BYTES, User, read_users
from fieldgate.mqtt.access_rules import AccessRules
from fieldgate_devices.files.document import MAX_FILE_BYTES

__all__ = ["Access", "AccessFiles", "Signature", "signature"]

Signature = tuple[int, ...] | None
"""What changes when a file does; None where there is none."""

_MAX_PROBLEMS: Final = 5


@dataclass(frozen=True, slots=True)
class Access:
    """What the files say. With ``problems`` nobody new may come in. ``rules`` None: there is no ACL."""

    users: Mapping[str, User] = field(default_factory=dict)
    rules: AccessRules | None = None
    problems: tuple[str, ...] = ()
    signatures: tuple[Signature, ...] = ()


def signature(path: Path) -> Signature:
    """Return what tells whether the file is still the same."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev


class AccessFiles:
    """Reads what an ``auth`` section names."""

    def __init__(self, auth: ListenAuthConfig | None) -> None:
        self._users = auth.users if auth is not None else None
        self._acl = auth.acl if auth is not None else None

    def signatures(self) -> tuple[Signature, ...]:
        """Return those of all files; takes microseconds."""
        return tuple(signature(path) for path in (self._users, self._acl) if path is not None)

    def load(self) -> Access:
        """Read everything; never raises, what is wrong is in the answer."""
        signatures = self.signatures()  # before reading: a change meanwhile is a change after it
        problems: list[str] = []
        users: Mapping[str, User] = {}
        rules: AccessRules | None = None
        if self._users is not None and (content := _content(self._users, MAX_USERS_BYTES, problems)) is not None:
            users, found = read_users(content, str(self._users))
            problems += map(str, found[:_MAX_PROBLEMS])
        if self._acl is not None:
            rules = AccessRules()
            if (content := _content(self._acl, MAX_FILE_BYTES, problems)) is not None:
                rules, found = read_acl(content, str(self._acl))
                problems += map(str, found[:_MAX_PROBLEMS])
        return Access(users, rules, tuple(problems), signatures)


def _content(path: Path, max_bytes: int, problems: list[str]) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        problems.append(f"{path}: the file cannot be read: {os.strerror(error.errno or 0).lower()}")
        return None
