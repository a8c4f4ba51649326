"""Logging: one line per change of state, an event name and fields; never a payload or a secret.

On a terminal lines are for people, under systemd they are entries of its journal with a field for each thing that they
say (``FIELDGATE_UPLINK=cloud``), elsewhere they are ``key=value`` with a time. The names in use are those of `NAMES`.
Writing never blocks, and lines that repeat are thinned out (`LineBudget`): the next one of the kind that is written
says with ``suppressed`` how many were not, or, where none follows, ``log.left_out`` does.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO, cast

import structlog

from fieldgate import clock
from fieldgate.observe.audit import AUDITED, AuditTrail
from fieldgate.observe.journald import encode_entry, entry_fields
from fieldgate.observe.line_budget import LineBudget
from fieldgate.observe.log_level import Level, LogLevel
from fieldgate.observe.log_names import NAMES
from fieldgate.observe.log_sinks import JOURNAL_SOCKET, JournaldSink, PipeSink, is_journal_stream
from fieldgate.observe.log_writer import LogWriter

__all__ = ["NAMES", "STATE", "LogState", "audit_time", "configure", "tell_left_out"]

_WHOSE: Final = ("uplink", "source", "listener", "task", "rule")
_EventDict = MutableMapping[str, Any]


class LogState:
    """What the log of this process is at: how much it says, and what of that was left out. See `STATE`."""

    def __init__(self) -> None:
        self.level = LogLevel()
        self.budget = LineBudget()
        self.audit = AuditTrail()
        self.lines: Counter[str] = Counter()  # written, by level
        self.left_out = 0  # thinned out, or dropped because the reader was too slow


STATE: Final = LogState()
"""The one log that a process has, as structlog's own settings are those of the process."""


def configure(*, level: Level = "info", journal: Path = JOURNAL_SOCKET) -> LogWriter:
    """Send log lines to standard error, or to the journal that it leads to; the caller closes the writer at the end."""
    STATE.level = LogLevel(level)
    pipe = PipeSink(2)
    is_journal = is_journal_stream(2)
    writer = LogWriter(JournaldSink(journal, pipe) if is_journal else pipe)
    processors: list[structlog.typing.Processor] = [_audit, _choose, structlog.processors.add_log_level, _thin_out]
    processors += _renderers(is_journal=is_journal)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),  # `_choose` filters: levels may change
        logger_factory=_Entries(writer) if is_journal else structlog.WriteLoggerFactory(cast(TextIO, writer)),
        cache_logger_on_first_use=True,
    )
    log = structlog.get_logger("fieldgate")

    def dropped(lines: int) -> None:
        STATE.left_out += lines
        log.warning("log.dropped", lines=lines)

    writer.on_dropped = dropped
    logging.basicConfig(handlers=[_FromLibraries(log)], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    return writer


def _renderers(*, is_journal: bool) -> list[structlog.typing.Processor]:
    """What makes a line of what is said."""
    time = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if is_journal:
        return [structlog.processors.format_exc_info, _Entry()]
    if os.isatty(2):
        return [time, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    first = ["timestamp", "level", "event"]
    line = structlog.processors.LogfmtRenderer(key_order=first, bool_as_flag=False)
    return [time, structlog.processors.format_exc_info, line]


def audit_time() -> str:
    """Return the time as the audit trail has it; what comes while the clock is not set says so."""
    at = datetime.fromtimestamp(clock.wall_ns() / 1e9, UTC).isoformat(timespec="milliseconds")
    return at if clock.is_synced() else f"{at} unsynced"


def _audit(_logger: object, _method: str, event: _EventDict) -> _EventDict:
    """Before anything is left out: the trail does not depend on the level."""
    if event["event"] in AUDITED:
        STATE.audit.note(event, at=audit_time(), now_s=clock.boot_s())
    return event


def _choose(_logger: object, method: str, event: _EventDict) -> _EventDict:
    if not STATE.level.takes(method, clock.boot_s()):
        raise structlog.DropEvent
    return event


def _thin_out(_logger: object, method: str, event: _EventDict) -> _EventDict:
    if method != "debug":
        kind = (event["event"], *(event.get(key) for key in _WHOSE))
        left_out = STATE.budget.take(kind, clock.boot_s())
        if left_out is None:
            STATE.left_out += 1
            raise structlog.DropEvent
        if left_out:
            event["suppressed"] = left_out
    STATE.lines[event["level"]] += 1
    return event


def tell_left_out(now_s: float, *, for_s: float) -> None:
    """Say what was left out of kinds that have been quiet for ``for_s``: no line of theirs will say it."""
    log = structlog.get_logger("fieldgate")
    for kind, lines in STATE.budget.rested(now_s, for_s=for_s):
        name, *whose = cast("tuple[str, ...]", kind)
        about = {key: value for key, value in zip(_WHOSE, whose, strict=True) if value is not None}
        log.warning("log.left_out", name=name, lines=lines, **about)


class _Entry:
    """Makes an entry for systemd's journal; its message is the line without what the journal adds by itself."""

    def __init__(self) -> None:
        self._line = structlog.processors.LogfmtRenderer(bool_as_flag=False)

    def __call__(self, logger: object, method: str, event: _EventDict) -> bytes:
        level = str(event.pop("level"))
        name = str(event["event"])
        rest = self._line(None, method, {key: value for key, value in event.items() if key != "event"})
        return encode_entry(entry_fields(event, level=level, message=f"{name} {rest}".rstrip()))


class _Entries:
    """structlog's logger and the factory of it, for entries that are bytes already."""

    def __init__(self, writer: LogWriter) -> None:
        self._put = writer.put

    def __call__(self, *_args: object) -> _Entries:
        return self

    def msg(self, entry: bytes) -> None:
        """Take an entry."""
        self._put(entry)

    debug = info = warning = error = exception = critical = msg


class _FromLibraries(logging.Handler):
    """Lets what the standard logging is told, by asyncio above all, go the same way."""

    def __init__(self, log: Any) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        tell = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        tell("library.warned", library=record.name, problem=record.getMessage(), exc_info=record.exc_info)
