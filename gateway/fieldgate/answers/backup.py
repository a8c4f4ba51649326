"""The request ``backup``: copy what is stored into the state folder, for the command to take from there.

Objects with ``copied`` and ``total`` (bytes) tell how far it is. The one with ``stage`` names the folder and the
``files`` in it, all of one moment. The command deletes the folder when it has them; if it goes away, the gateway does.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fieldgate.control import BEAT, Answer, ControlError, Handler
from fieldgate.journal.facts import stats_facts
from fieldgate.journal.journal import Journal
from fieldgate.journal.paced_copy import CopyFailed
from fieldgate.journal.side_file import SideFile
from fieldgate.pipeline import Pipeline

if TYPE_CHECKING:
    from fieldgate.journal.snapshot import LiveSnapshot

__all__ = ["backup_handlers"]

_EVERY_S: Final = 0.05
_TELL_EVERY: Final = 20  # turns
_TRIES: Final = 3  # a database may be replaced while it is copied: dead letters that are purged, a damaged file


class _Backup(msgspec.Struct, forbid_unknown_fields=True):
    pass


def backup_handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answers; one backup is made at a time."""
    return {"backup": partial(_backup, pipeline, asyncio.Lock())}


async def _backup(pipeline: Pipeline, busy: asyncio.Lock, request: dict[str, Any]) -> Answer:
    msgspec.convert(request, _Backup)
    from fieldgate.journal.snapshot import STAGE, LiveSnapshot  # with what few gateways need on few days

    if busy.locked():
        raise ControlError("a backup is being made already; wait for it")
    async with busy:
        for tries_left in reversed(range(_TRIES)):
            snapshot = LiveSnapshot(pipeline.config.journal.path / STAGE)
            try:
                async for item in _copy(pipeline, snapshot):
                    yield item
                return
            except CopyFailed:
                if not tries_left:
                    raise
            finally:
                snapshot.abort()  # waits for one step of a copy at most


async def _copy(pipeline: Pipeline, snapshot: LiveSnapshot) -> Answer:
    keeper = pipeline.keeper
    await keeper.call(partial(_begin, snapshot, sides=_sides(pipeline)))
    turn = 0
    while not snapshot.is_near:
        await asyncio.sleep(_EVERY_S)
        turn += 1
        if turn % _TELL_EVERY == 0:
            copied, total = snapshot.progress()
            yield {"copied": copied, "total": total}
    files, stats = await keeper.call(partial(_finish, snapshot))
    yield {
        "stage": str(snapshot.stage),
        "files": files,
        "left_out": snapshot.left_out,
        "stats": stats,
    }
    while snapshot.stage.exists():
        await asyncio.sleep(_EVERY_S)
        turn += 1
        if turn % _TELL_EVERY == 0:
            yield BEAT


def _begin(snapshot: LiveSnapshot, journal: Journal, *, sides: list[SideFile]) -> None:
    snapshot.begin(journal, sides)


def _finish(snapshot: LiveSnapshot, journal: Journal) -> tuple[list[str], dict[str, Any]]:
    files = snapshot.finish(journal)
    return files, stats_facts(journal)


def _sides(pipeline: Pipeline) -> list[SideFile]:
    return [
        pipeline.session_keeper.side,
        pipeline.devices.keeper.side,
        pipeline.rules.keeper.side,
        pipeline.commands.keeper.side,
        pipeline.dead_letters.side,
    ]
