"""Which SQLite this Python has."""

from __future__ import annotations

import sqlite3

__all__ = ["sqlite_version"]


def sqlite_version() -> tuple[int, int, int]:
    """The version of the library that is loaded, not of the one that was there at compile time."""
    major, minor, patch, *_ = (*sqlite3.sqlite_version_info, 0, 0)
    return major, minor, patch
