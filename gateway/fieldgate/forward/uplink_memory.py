"""Keep an uplink's `SessionRecord`: written when it connects, when commands come, and at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from fieldgate import clock
from fieldgate.forward.session_record import SessionRecord

__all__ = ["Save", "UplinkMemory"]

_EVERY_S: Final = 1.0

Save = Callable[[Callable[[], None]], Awaitable[None]]
"""Does a small piece of file work in a thread that may block."""

_log = structlog.get_logger()


class UplinkMemory:
    """``wanted`` is what is to be subscribed to now, empty for nothing.

    ``is_outdated``: the server may have a subscription that is not wanted any more, and what it brought.
    """

    def __init__(self, uplink: str, record: SessionRecord, save: Save, *, wanted: str) -> None:
        self.is_outdated = record.filter not in ("", wanted)
        self._uplink = uplink
        self._record = record
        self._save = save
        self._wanted = wanted
        self._is_in_use = bool(wanted or record.filter)
        self._heard = asyncio.Event()
        self._has_failed = False

    def connected(self) -> None:
        """The server has accepted a connection, and so has what is wanted, and nothing else."""
        self.is_outdated = False
        self.heard()

    def heard(self) -> None:
        """The server is there."""
        if self._is_in_use:
            self._heard.set()

    async def run(self) -> None:
        """Write what is to be remembered, once a second at the most, until cancelled."""
        while True:
            await self._heard.wait()
            self._heard.clear()
            await self._save(self._write)
            await asyncio.sleep(_EVERY_S)

    def stop(self) -> None:
        """The uplink ends in good order: from now on the server keeps what comes."""
        if self._is_in_use:
            self._write()

    def _write(self) -> None:
        try:
            self._record.save(self._wanted, clock.boot_s())
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                meaning = "commands that come while it is restarted may be refused as too old"
                _log.warning("uplink.not_noted", uplink=self._uplink, problem=str(error), meaning=meaning)
            self._has_failed = True
