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
from fieldgate.observe.log_sinks import JOURNAL_SOCKET, JournaldSink, PipeSink, is_journal_stream
from fieldgate.observe.log_writer import LogWriter

__all__ = ["NAMES", "STATE", "LogState", "audit_time", "configure", "tell_left_out"]

NAMES: Final = {
    "access.broken": "a users or ACL file cannot be used; nobody new comes in until it is mended",
    "access.changed": "other users or rules are in force",
    "access.mended": "the users and ACL files can be used again",
    "acl.denied": "the ACL has denied a user something; for the audit trail",
    "audit.not_written": "the audit trail cannot be written for now, and why",
    "audit.written_again": "the audit trail is written again",
    "certificate.changed": "a listener's TLS files have changed and are used for new connections",
    "certificate.needs_care": "a listener's certificate expires or has expired, or its changed files cannot be used",
    "client.admitted": "a client of HTTP was let in; for the audit trail",
    "client.connected": "a device has connected",
    "client.disconnected": "a device's connection is over, and why",
    "client.not_admitted": "a connection ended before its client was let in, and why",
    "client.refused": "connections were turned away at a limit",
    "clock.became_known": "the time of this OS boot is known from now on",
    "clock.became_unknown": "the clock shows a time that cannot be; it is not believed any more",
    "command.answered": "a command has its final answer; for the audit trail",
    "commands.damaged": "the record of commands was damaged; what could be read of it was taken over",
    "commands.not_recorded": "commands cannot be recorded and are refused, and why",
    "commands.recorded_again": "commands are recorded again, and taken",
    "config.needs_restart": "keys of the configuration have changed that count after a restart only",
    "config.refused": "a reload found something wrong; nothing has changed",
    "config.reloaded": "everything was read again, is valid, and is used from now on",
    "config.warned": "the configuration can be used, but something in it is likely not meant",
    "control.asked": "somebody has asked the gateway something on its socket",
    "dead_letters.began": "messages of a profile are kept aside for this reason for the first time since the start",
    "dead_letters.damaged": "the file of the dead letters was damaged; what could be read is kept",
    "dead_letters.not_stored": "dead letters are not stored at the moment, nor acknowledged, and why",
    "dead_letters.stored_again": "dead letters are stored again",
    "device.back": "a device that had fallen silent was heard again",
    "device.fell_silent": "a device was not heard for as long as its profile says (silent_after)",
    "devices.damaged": "the file of the registry was damaged; what could be read of it was taken over",
    "devices.not_stored": "what is known of devices cannot be stored for now",
    "devices.stored_again": "what is known of devices is stored again",
    "events.routed_nowhere": "a rule routed an event to uplinks of which none takes it: it went nowhere",
    "gateway.failed": "the gateway ends because of this problem",
    "gateway.no_uplink": "no uplink is configured, and what to write",
    "gateway.started": "the journal is open and everything is about to start",
    "gateway.stopped": "everything is written and closed",
    "gateway.stopping": "a signal arrived, or the journal failed",
    "journal.committed": "something was written to the journal, and how much",
    "journal.has_room": "new events are stored again",
    "journal.is_full": "nothing more is stored or acknowledged, and why",
    "journal.lost_events": "stored events cannot be read any more",
    "journal.note": "something was found when the journal was opened",
    "journal.set_aside": "a damaged file was renamed; what it holds is still sent",
    "library.warned": "a library or Python itself reports something",
    "listener.echo_found": "a bridge brings back what this gateway sent; it is taken for no event",
    "listener.started": "devices can connect",
    "listener.stopped": "nothing more is read from devices",
    "log.dropped": "whoever reads the log was too slow for this many lines",
    "log.left_out": "lines of one kind that were left out, where none followed that says so",
    "log.level_changed": "the log says more, or less, from now on",
    "modbus.registers_refused": "a Modbus unit does not have registers of its profile; they are left out",
    "modbus.unit_back": "a Modbus unit answers again",
    "modbus.unit_not_read": "nothing is read of a Modbus unit, because its profile is not there or has no registers",
    "modbus.unit_silent": "a Modbus unit does not answer and is asked less and less often, and why",
    "profiles.loaded": "the device profiles have changed and are used from now on",
    "profiles.refused": "a device profile cannot be used; what was read before stays in use",
    "rules.state_damaged": "the file of the rules' state was damaged; what could be read of it was taken over",
    "rules.state_not_stored": "timers and windows of rules cannot be stored for now",
    "rules.state_stored_again": "timers and windows of rules are stored again",
    "rule.command_done_again": "a device has carried out a command of a rule, after one that was not done",
    "rule.command_not_done": "a command of a rule was not carried out, and why; said again when the reason changes",
    "rule.failed": "a defect in a rule or in what runs it was met; said again when it is another one",
    "rule.publish_refused": "a rule's message has no topic that a message can have",
    "rule.said": "a rule says this (its action log)",
    "rules.loaded": "the rules have changed and are in force from now on",
    "rules.refused": "a rule cannot be used; the rules that were read before go on",
    "serial.connected": "the port of a serial source is open",
    "serial.lost": "a serial port that was open is not any more, and why",
    "serial.not_understood": "much comes from a serial port, and no intact frame is in it",
    "serial.waiting": "a serial port cannot be opened for now, and why; that is tried until it can",
    "service.no_progress": "the service manager is not told that the gateway lives, because something in it hangs",
    "service.not_told": "the service manager (NOTIFY_SOCKET) cannot be told how the gateway is, and why",
    "sessions.damaged": "what was stored for local clients is damaged; what could be read is kept",
    "sessions.not_stored": "what waits for local clients is not stored at the moment, and why",
    "sessions.stored_again": "what waits for local clients is stored again",
    "source.connected": "the broker of a source is connected",
    "source.login_changed": "the broker has let a source in with its new login, which is in use from now on",
    "source.login_not_proven": "nobody can say yet whether the new login of a source is good; the old one goes on",
    "source.login_refused": "the broker does not let a source in with its new login; the old one stays",
    "source.lost": "the connection to the broker of a source is over, and why",
    "source.not_noted": "what a source is subscribed to could not be written down",
    "source.qos_lowered": "the broker grants a lower QoS than was asked for: messages can be lost on the way",
    "source.refused": "the broker does not let the source in; a person must mend that",
    "source.session_shortened": "the broker keeps less than was asked for of what comes while the gateway is away",
    "source.stopped": "nothing more is read from a source",
    "source.subscription_refused": "the broker does not grant a subscription, and why",
    "source.unreachable": "the broker of a source cannot be reached for now",
    "source.version_changed": "the broker of a source does not speak this MQTT version; the other one is tried",
    "task.failed": "a defect ended a part of the gateway; it is started again",
    "task.restarting": "a part of the gateway could not go on and is tried again",
    "uplink.answer_refused": "the server does not take the answer to a command; it is not told",
    "uplink.began_again": "what was stored of an uplink's place cannot be read; it gets everything stored again",
    "uplink.commands_refused": "the server does not let an uplink hear commands; events are not concerned",
    "uplink.connected": "an uplink is connected",
    "uplink.discovery_refused": "the server does not take what Home Assistant is told; events are not concerned",
    "uplink.forgotten": "an uplink is not configured any more; nothing is kept for it",
    "uplink.login_changed": "the server has let an uplink in with its new login, which is in use from now on",
    "uplink.login_not_proven": "nobody can say yet whether the new login of an uplink is good; the old one goes on",
    "uplink.login_refused": "the server does not let an uplink in with its new login; the old one stays",
    "uplink.lost": "the connection of an uplink is over, and why",
    "uplink.lost_events": "events that this uplink never gets, and why",
    "uplink.mended": "a webhook takes what it is told again",
    "uplink.not_noted": "what the server may keep for an uplink could not be written down",
    "uplink.refused": "the far side does not let the uplink in; a person must mend that",
    "uplink.session_given_up": "what the server kept for an uplink could not be read; it starts without it",
    "uplink.status_refused": "the server does not take what the uplink says of itself; events are not concerned",
    "uplink.takes_commands": "the server lets an uplink hear commands again",
    "uplink.unreachable": "an uplink cannot connect for now",
    "uplink.version_changed": "the broker does not speak this MQTT version; the other one is tried",
}

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
        logger_factory=_Entries(writer) if is_journal else structlog.WriteLoggerFactory(cast("TextIO", writer)),
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
