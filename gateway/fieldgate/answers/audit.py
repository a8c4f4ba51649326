"""Keeps the audit trail on disk, and counts into it what the ACL has denied."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import structlog

from fieldgate import clock
from fieldgate.control import Answer, Handler
from fieldgate.errors import JournalError
from fieldgate.journal.audit_file import AuditFile
from fieldgate.observe.log import STATE, audit_time
from fieldgate.pipeline import Pipeline

__all__ = ["AuditKeeper"]

_EVERY_S: Final = 10.0

log = structlog.get_logger("fieldgate")


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


class AuditKeeper:
    """Writes now and then, in the journal's thread; at the end all that is left."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._file = AuditFile(pipeline.config.journal.path)
        self._was_well = True
        self._under_way = b""

    def handlers(self) -> dict[str, Handler]:
        """Return the answer to each request by its name."""
        return {"audit.flush": self._flush}

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self.write()
                await asyncio.sleep(_EVERY_S)
        finally:  # the journal's thread may be gone, and nobody waits for this one any more
            self._note_denials()
            lines = self._under_way  # whether that was written nobody knows: rather twice than never
            lines += STATE.audit.take(at=audit_time(), now_s=clock.boot_s(), is_last=True)
            if lines:
                self._file.append(lines, is_last=True)

    async def write(self) -> None:
        """Write what waits."""
        self._note_denials()
        lines = self._under_way = STATE.audit.take(at=audit_time(), now_s=clock.boot_s())
        if not lines:
            return
        try:
            is_written = await self._pipeline.keeper.call(lambda _journal: self._file.append(lines))
        except JournalError:  # the gateway stops: what waits is written at the end
            is_written = False
        self._under_way = b""
        if not is_written:
            STATE.audit.give_back(lines)
        if bool(self._file.problem) == self._was_well:
            self._was_well = not self._was_well
            if self._was_well:
                log.info("audit.written_again")
            else:
                log.error("audit.not_written", problem=self._file.problem)

    def _note_denials(self) -> None:
        """What the ACL has denied since the last time; a line of its own for each message would be an attack."""
        for listener in self._pipeline.listeners:
            denied = listener.gate.denied_to
            for (what, user), count in denied.items():
                log.debug("acl.denied", listener=listener.name, user=user, what=what, count=count)
            denied.clear()

    async def _flush(self, request: dict[str, Any]) -> Answer:
        msgspec.convert(request, _Nothing)
        await self.write()
        yield {"left_out": dict(STATE.audit.left_out), "problem": self._file.problem}
