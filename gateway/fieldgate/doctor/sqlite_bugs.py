"""Bugs of SQLite that damage files or hang, by the versions that have them, and whether Fieldgate can meet them.

Laws of this file: only what SQLite itself has published; only what concerns stored data. Bugs that need SQL from a
stranger (most of the CVEs) are not listed: Fieldgate runs none but its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BUGS", "OLDEST_TESTED", "SqliteBug", "bugs_of"]

Version = tuple[int, int, int]

OLDEST_TESTED: Final[Version] = (3, 34, 1)
"""Debian 11's; the tests run with nothing older."""


class SqliteBug(NamedTuple):
    """``first`` to ``last`` have it, but not those of ``backports``; ``fixed`` is the first release without it.

    ``why_safe`` says why Fieldgate does not meet it; empty: it can.
    """

    name: str
    first: Version
    last: Version
    fixed: Version
    backports: tuple[Version, ...]
    effect: str
    why_safe: str


BUGS: Final = (
    SqliteBug(
        "WAL reset",
        (3, 7, 0),
        (3, 51, 2),
        (3, 51, 3),
        ((3, 44, 6), (3, 50, 7)),
        "two connections to one file that checkpoint and write at the same moment can damage it "
        "(sqlite.org/wal.html#walresetbug)",
        "Fieldgate opens each file once and holds it exclusively, so there is no second connection; never open its "
        "files with another program while it runs",
    ),
    SqliteBug(
        "withdrawn release",
        (3, 52, 0),
        (3, 52, 0),
        (3, 53, 0),
        (),
        "3.52.0 was withdrawn by its makers for incompatibilities",
        "",
    ),
    SqliteBug(
        "ROLLBACK TO with journals in memory",
        (3, 35, 0),
        (3, 37, 1),
        (3, 37, 2),
        (),
        "a rollback to a savepoint can damage the file where temporary journals are kept in memory",
        "Fieldgate uses no savepoints",
    ),
)


def bugs_of(version: Version) -> list[SqliteBug]:
    """Return the bugs that ``version`` has."""
    return [
        bug
        for bug in BUGS
        if bug.first <= version <= bug.last
        and not any(version[:2] == fixed[:2] and version[2] >= fixed[2] for fixed in bug.backports)
    ]
