"""Refuse a state folder that a newer version of Fieldgate has written to, before anything in it is touched.

Looked at are the heads of the files: SQLite keeps there whose a database is and the version of its schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldgate.journal import command_file, device_file, rule_file, session_file
from fieldgate.journal.dead_letter_file import APPLICATION_ID as LETTERS_ID
from fieldgate.journal.dead_letter_file import SCHEMA_VERSION as LETTERS_VERSION
from fieldgate.journal.files import data_files
from fieldgate.journal.records import JournalRefused
from fieldgate.journal.row_file import FileKind
from fieldgate.journal.schema import APPLICATION_ID, SCHEMA_VERSION

__all__ = ["SIDES", "refuse_newer"]

SIDES: Final = (
    session_file.KIND,
    device_file.KIND,
    rule_file.KIND,
    command_file.KIND,
    FileKind("dead_letters.db", LETTERS_ID, LETTERS_VERSION),
)
"""The databases beside the journal's."""

_MAGIC: Final = b"SQLite format 3\0"
_HEAD_BYTES: Final = 100


def refuse_newer(folder: Path) -> None:
    """Look at every database in ``folder``.

    Raises:
        JournalRefused: one is newer than what this version knows; names each, both versions, and what to do.
    """
    newer = [
        f"{path.name} has schema version {version}, this version of Fieldgate knows {known}"
        for path, application_id, known in _databases(folder)
        if (version := _version(path, application_id)) is not None and version > known
    ]
    if newer:
        raise JournalRefused(
            f"{folder}: written by a newer version of Fieldgate: {'; '.join(newer)}. Nothing was changed. Install the "
            "newer version again, or restore a backup that was made before the upgrade: fieldgate restore FILE"
        )


def _databases(folder: Path) -> Iterator[tuple[Path, int, int]]:
    for _, path in data_files(folder)[0]:
        yield path, APPLICATION_ID, SCHEMA_VERSION
    for kind in SIDES:
        yield kind.path(folder), kind.application_id, kind.schema_version


def _version(path: Path, application_id: int) -> int | None:
    """The schema version in the file's head; None where there is no such file or it is another's."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # whoever opens it says what is wrong
        return None
    is_ours = head.startswith(_MAGIC) and int.from_bytes(head[68:72]) == application_id
    return int.from_bytes(head[60:64]) if is_ours else None
