"""Make of the files of a backup a state folder that a gateway can go on with: checked, and under a new epoch.

A backup is a moment that has passed: numbers and packet ids were given since that nobody here knows. So sequence
numbers go on far above (no number is given twice, whatever a consumer orders by), the journal's next epoch begins, and
what only a client and this gateway knew together of what was on its way is forgotten: a message may come twice, none is
taken for one that was received before.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from fieldgate.errors import FieldgateError
from fieldgate.journal.blockfile import BlockFile, FileDamaged, NewerSchema
from fieldgate.journal.files import Folder, data_files, delete_file, sync_folder
from fieldgate.journal.highwater import HighWater, HighWaterFile
from fieldgate.journal.moving import make_mark
from fieldgate.journal.newer import SIDES
from fieldgate.journal.opening import FAR
from fieldgate.journal.schema import APPLICATION_ID, SCHEMA_VERSION
from fieldgate.journal.session_file import SessionFile
from fieldgate.journal.snapshot import HIGHWATER
from fieldgate.journal.sqlite_errors import SQLITE_ERRORS
from fieldgate.journal.tailcheck import begin_epoch
from fieldgate.mqtt.stored import Changes

__all__ = ["NotRestorable", "check_database", "check_databases", "read_mark", "renew"]

_CHECKED: Final = {kind.name: (kind.application_id, kind.schema_version) for kind in SIDES}


class NotRestorable(FieldgateError):
    """The files of a backup are not what a gateway can go on with; nothing was changed."""


def check_databases(stage: Path) -> None:
    """Check every database that a gateway would write to.

    Raises:
        NotRestorable: one is damaged, or a newer version wrote it.
    """
    databases, _ = data_files(stage)
    if not databases:
        raise NotRestorable("the backup holds no journal")
    check_database(databases[-1][1], APPLICATION_ID, SCHEMA_VERSION)
    for name, (application_id, version) in _CHECKED.items():
        if (stage / name).exists():
            check_database(stage / name, application_id, version)


def check_database(path: Path, application_id: int, newest: int) -> None:
    """Have SQLite look at every page of a file that nobody has open.

    Raises:
        NotRestorable: it is damaged, is another's, or its schema is newer than ``newest``.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if found == application_id and version > newest:
                raise NotRestorable(
                    f"{path.name}: written by a newer version of Fieldgate (schema version {version}; this one knows "
                    f"{newest}); upgrade Fieldgate, then restore"
                )
            problem = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except SQLITE_ERRORS as error:
        raise NotRestorable(f"{path.name}: damaged: {error}") from error
    if found != application_id:
        raise NotRestorable(f"{path.name}: not a database of Fieldgate's")
    if problem != "ok":
        raise NotRestorable(f"{path.name}: damaged: {problem}")


def read_mark(folder: Path) -> HighWater | None:
    """How far the journal that lies in ``folder`` had come, by its own account; None where there is none."""
    path = folder / HIGHWATER
    if not path.exists():
        return None
    with closing(HighWaterFile(path)) as file:
        return file.last


def renew(stage: Path, above: HighWater | None) -> int:
    """Begin the next epoch in the files of ``stage``; return it.

    ``above`` is how far the journal had come that these files replace: what that had been given beyond them, and nobody
    had delivered, is noted as lost, so that uplinks are told.

    Raises:
        NotRestorable: the journal cannot be written to.
    """
    try:
        _forget_in_flight(stage)
        folder = Folder(stage)
        try:
            epoch = _begin(folder, above)
        finally:
            folder.close()
            (stage / "lock").unlink(missing_ok=True)
    except (FileDamaged, NewerSchema, *SQLITE_ERRORS) as error:
        raise NotRestorable(f"the journal of the backup cannot be gone on with: {error}") from error
    for path in stage.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(stage)
    return epoch


def _begin(folder: Folder, above: HighWater | None) -> int:
    file = BlockFile(data_files(folder.path)[0][-1][1])
    with closing(HighWaterFile(folder.path / HIGHWATER)) as highwater:
        marks = [mark for mark in (highwater.last, above) if mark is not None]
        seqs = [*(tail.top_seq for tail in file.tails), *(mark.max_seq for mark in marks)]
        journal_s = max([file.heard_s, *(mark.journal_s for mark in marks)])
        is_same = above is not None and above.epoch_id == file.meta.epoch_id and above.block_no >= file.last_no
        mark = above if is_same else _highest(marks)
        file = begin_epoch(folder, file, mark, is_same=is_same)
        with closing(file.connection):
            highwater.save(make_mark(file, max_seq=max(seqs) + FAR, journal_s=journal_s))
        return file.meta.epoch


def _highest(marks: list[HighWater]) -> HighWater | None:
    if not marks:
        return None
    epoch, block_no = max(mark.epoch for mark in marks), max(mark.block_no for mark in marks)
    return msgspec.structs.replace(marks[0], epoch=epoch, block_no=block_no)


def _forget_in_flight(stage: Path) -> None:
    """Keep sessions, their subscriptions and what waits in them; not which packet ids were in use, either way.

    A QoS 2 id that a client has used anew since would else be taken for a message that is here already, and that one be
    acknowledged and lost [MQTT-4.3.3-10]. What a client was sent and has not acknowledged is sent again as new.
    """
    if not (stage / "sessions.db").exists():
        return
    file = SessionFile(stage)
    try:
        changes = Changes()
        for number, session in file.state.sessions.items():
            if session.unreleased:
                changes.sessions[number] = msgspec.structs.replace(session, unreleased=())
        for number, deliveries in file.state.deliveries.items():
            for position, one in deliveries.items():
                if one.packet_id:
                    fresh = msgspec.structs.replace(one, packet_id=0) if one.message else None
                    changes.deliveries[number, position] = fresh
        if changes:
            file.apply(changes)
    finally:
        file.close()
    for path in stage.glob("sessions.db.damaged-*"):
        delete_file(path)
