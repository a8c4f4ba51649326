"""Who the gateway runs as, and what that user may open. Root, who asks, may open everything and learns nothing so."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GatewayUser", "group_name", "user_name"]


@dataclass(frozen=True, slots=True)
class GatewayUser:
    """A user with all groups."""

    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, uid: int) -> GatewayUser:
        """The user with this number; who asks keeps the groups of this process, which may be old or more."""
        if uid == os.geteuid():
            return cls(uid, frozenset([*os.getgroups(), os.getegid()]))
        with suppress(KeyError):
            known = pwd.getpwuid(uid)
            return cls(uid, frozenset(os.getgrouplist(known.pw_name, known.pw_gid)))
        return cls(uid, frozenset())

    @property
    def name(self) -> str:
        """The name, or the number where there is none."""
        return user_name(self.uid)

    def may_use(self, path: Path) -> bool:
        """Whether the user may read and write ``path``, as far as mode bits tell.

        Raises:
            OSError: it cannot be looked at.
        """
        if self.uid == os.geteuid():
            return os.access(path, os.R_OK | os.W_OK)
        status = path.stat()
        if self.uid == 0:
            return True
        if self.uid == status.st_uid:
            wanted = stat.S_IRUSR | stat.S_IWUSR
        elif status.st_gid in self.groups:
            wanted = stat.S_IRGRP | stat.S_IWGRP
        else:
            wanted = stat.S_IROTH | stat.S_IWOTH
        return status.st_mode & wanted == wanted


def user_name(uid: int) -> str:
    """The name of a user, or the number where there is none, as in many containers."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or the number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
