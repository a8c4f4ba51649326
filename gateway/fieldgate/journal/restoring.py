"""Put the files of a backup in place of those that are there: all of them, or none, whenever the power goes.

Everything is prepared first, on the file systems on which it will lie. What then decides is one rename: that of the
folder with the plan, within the state folder. From then on the new files count, and whoever comes next (the same
command, another restore, a start of the gateway) finishes what was cut short: every step of the plan can be done twice.
The old files stay, in ``before-restore-TIME`` beside the new ones.

A plan is carried out with the rights of whoever finishes it, and the state folder belongs to the gateway's user: so a
plan is taken only from root or from the very user that finishes it. Else what has the gateway would have root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from fieldgate.errors import FieldgateError
from fieldgate.journal.files import Folder, sync_folder

__all__ = [
    "COMMITTED",
    "KEPT",
    "PREPARED",
    "Plan",
    "RestoreError",
    "commit",
    "finish_cut_restore",
    "finish_restore",
    "is_pending",
    "state_entries",
]

PREPARED: Final = "restore.part"
COMMITTED: Final = "restore"
_PLAN: Final = "plan.json"
KEPT: Final = "before-restore-"
_DATABASE: Final = r"(new-|whole-)?(journal-\d+|sessions|devices|rules|commands|dead_letters)\.db"
_REPLACED: Final = re.compile(rf"{_DATABASE}|(highwater|sources|uplinks)$")


class RestoreError(FieldgateError):
    """A restore cannot be finished now; it will be, at the next start or by the next restore."""


class Plan(msgspec.Struct):
    """Pairs of full paths. ``moved`` and ``copied`` are old files and where they are kept: the second stay readable
    under their names until ``placed`` (new files, and where they belong) replaces them, or ``deleted`` ends them.
    """

    moved: list[tuple[str, str]]
    copied: list[tuple[str, str]]
    placed: list[tuple[str, str]]
    deleted: list[str]
    leftovers: list[str]


def state_entries(folder: Path) -> list[Path]:
    """What a restore replaces in a state folder."""
    return sorted(path for path in folder.iterdir() if _REPLACED.match(path.name))


def commit(folder: Path, plan: Plan) -> None:
    """From when this returns on, ``plan`` is carried out whatever happens; `finish_restore` does it."""
    prepared = folder / PREPARED
    fd = os.open(prepared / _PLAN, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(plan))
        file.flush()
        os.fsync(file.fileno())
    committed = folder / COMMITTED
    for at in {committed, *(Path(staged).parent for staged, _ in plan.placed)}:
        sync_folder(prepared / at.relative_to(committed) if at.is_relative_to(committed) else at)
    shutil.rmtree(committed, ignore_errors=True)  # of one that was finished, all but this
    prepared.rename(committed)
    sync_folder(folder)


def is_pending(folder: Path) -> bool:
    """Whether a plan was committed in this state folder that is not carried out yet."""
    return (folder / COMMITTED / _PLAN).exists()


def finish_cut_restore(folder: Path) -> bool:
    """Do the same in a state folder that is not locked yet; costs nothing where there is nothing to do.

    Raises:
        JournalBusy, JournalRefused: the folder cannot be had.
        RestoreError: as `finish_restore`.
    """
    if not is_pending(folder):
        return False
    locked = Folder(folder)
    try:
        return finish_restore(folder)
    finally:
        locked.close()


def finish_restore(folder: Path) -> bool:
    """Carry out a plan that was committed in this state folder, which is locked; return whether there was one.

    Raises:
        RestoreError: something keeps it from being finished.
    """
    path = folder / COMMITTED / _PLAN
    try:
        plan = msgspec.json.decode(_trusted(path), type=Plan)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, msgspec.MsgspecError) as error:
        raise RestoreError(f"{path}: a restore was cut short and cannot be finished: {error}") from error
    try:
        _carry_out(plan)
        path.unlink()
        sync_folder(path.parent)
    except OSError as error:
        is_anothers = isinstance(error, PermissionError) and path.stat().st_uid != os.geteuid()
        advice = "run 'fieldgate restore' as root again" if is_anothers else "mend that and start again"
        why = (error.strerror or str(error)).lower()
        raise RestoreError(f"{error.filename or folder}: a restore cannot be finished: {why}; {advice}") from error
    for left in (path.parent, *map(Path, plan.leftovers)):
        shutil.rmtree(left, ignore_errors=True)
    return True


def _trusted(path: Path) -> bytes:
    """Read a plan that somebody wrote who may do all that it says."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        owner = os.fstat(fd).st_uid
        if owner not in (0, os.geteuid()):
            raise RestoreError(
                f"{path}: a restore was cut short that user {owner} began; nobody else finishes it: run "
                "'fieldgate restore' or 'fieldgate run' as that user once, or delete the folder if nobody began one"
            )
        return file.read()


def _carry_out(plan: Plan) -> None:
    for source, kept in _pairs(plan.moved):
        if source.exists() and not kept.exists():
            _make_folders(kept.parent)
            source.rename(kept)
    for source, kept in _pairs(plan.copied):
        if source.exists() and not kept.exists():
            _make_folders(kept.parent)
            _copy(source, kept)
    for staged, target in _pairs(plan.placed):
        if staged.exists():
            _make_folders(target.parent)
            staged.replace(target)
    for gone in map(Path, plan.deleted):
        gone.unlink(missing_ok=True)
    paths = [path for pair in (*plan.moved, *plan.copied, *plan.placed) for path in pair] + plan.deleted
    for at in {Path(path).parent for path in paths}:
        with contextlib.suppress(FileNotFoundError):  # nothing had to be kept there
            sync_folder(at)


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[Path, Path]]:
    return ((Path(first), Path(second)) for first, second in pairs)


def _make_folders(folder: Path) -> None:
    """Make what is missing of it, for the owner of what it lies in, and make it stay."""
    for path in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        around = path.parent.stat()
        path.mkdir(mode=around.st_mode & 0o770 | 0o700)
        if os.geteuid() == 0:
            os.chown(path, around.st_uid, around.st_gid, follow_symlinks=False)
        sync_folder(path.parent)


def _copy(source: Path, kept: Path) -> None:
    part = kept.with_name(f"{kept.name}.part")
    shutil.copy2(source, part)
    stat = source.stat()
    if os.geteuid() == 0:
        os.chown(part, stat.st_uid, stat.st_gid)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(kept)
