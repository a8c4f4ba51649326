"""What somebody can do who may not read a file of the gateway's."""

from __future__ import annotations

import grp
import stat
from pathlib import Path

__all__ = ["way_in"]


def way_in(path: Path) -> str:
    """Return what opens ``path`` to who may not read it, for the end of a message."""
    try:
        found = path.stat()
        group = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return "use sudo"
    if found.st_gid == 0 or not found.st_mode & stat.S_IRGRP:
        return "use sudo"
    return f"use sudo, or join its group and log in again: sudo usermod -aG {group} $USER"
