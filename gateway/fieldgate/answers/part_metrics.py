"""The metrics of listeners, sources, local delivery, rules and commands."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from fieldgate.answers.samples import Samples
from fieldgate.ingest.modbus_status import ModbusStatus
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.ingest.mqtt_source import MqttSource
from fieldgate.ingest.serial_status import SerialStatus
from fieldgate.ingest.source_status import SourceStatus
from fieldgate.observe import metric_table as table
from fieldgate.pipeline import Pipeline

if TYPE_CHECKING:
    from fieldgate.ingest.http_listener import HttpListener
    from fieldgate.ingest.modbus_source import ModbusSource
    from fieldgate.ingest.serial_source import SerialSource

__all__ = ["listener_samples", "local_samples", "rule_samples", "source_samples"]


def listener_samples(into: Samples, listener: MqttListener | HttpListener) -> None:
    """What devices bring to a listener, and how it fares with them."""
    name = listener.name
    tally = listener.tally
    results = {"event": tally.events, "echo": tally.echoes, "refused": tally.refused.total()}
    if isinstance(listener, MqttListener):
        kind = "mqtt"
        results |= {"joined": listener.tally.joined, "unsaved": listener.tally.unsaved}
        into.put(table.PUBLISHES, listener.tally.publishes, name)
        into.put(table.DENIED, listener.gate.denied["subscribe"], name)
    else:
        kind = "http"
        into.put(table.PUBLISHES, listener.tally.requests, name)
    into.put_by(table.RECEIVED, results, name, kind)
    into.put(table.BAD_TRACES, tally.bad_traces, name, kind)
    into.put(table.SOURCE_UP, listener.started.is_set(), name, kind)
    into.put(table.WAITING, listener.unacknowledged, name, kind)
    into.put(table.CLIENTS, listener.crowd.clients, name)
    into.put(table.CONNECTING, listener.crowd.strangers, name)
    into.put_by(table.TURNED_AWAY, listener.refused, name)
    into.put_by(table.ENDED, listener.ended, name)
    into.put_by(table.REFUSED, tally.refused, name)
    if listener.certificate is not None and listener.certificate.expires_in_s is not None:
        into.put(table.EXPIRY, listener.certificate.current.expires_at.timestamp(), "listener", name)


def source_samples(into: Samples, source: MqttSource | SerialSource | ModbusSource) -> None:
    """What a source has read."""
    status: Any = source.status
    kind, results = _read(status)
    into.put_by(table.RECEIVED, results, source.name, kind)
    into.put(table.SOURCE_UP, status.state == "connected", source.name, kind)
    into.put(table.WAITING, status.unacknowledged if kind == "broker" else status.unsettled, source.name, kind)
    if isinstance(status, SourceStatus):
        into.put(table.BAD_TRACES, status.traces_ignored, source.name, kind)
    into.put(table.SOURCE_RECONNECTS, status.reconnects, source.name, kind)


def _read(status: SourceStatus | SerialStatus | ModbusStatus) -> tuple[str, dict[str, float]]:
    if isinstance(status, SourceStatus):
        return "broker", {
            "event": status.events,
            "joined": status.joined,
            "retained": status.skipped_retained,
            "echo": status.looped,
            "not_event": status.not_events,
            "unsaved": status.unsaved,
        }
    if isinstance(status, SerialStatus):
        bad = sum(status.bad_frames.values())
        return "serial", {"event": status.frames, "bad_frame": bad, "unsaved": status.unsaved}
    bad = sum(unit.bad + unit.timeouts for unit in status.units)
    return "modbus", {"event": status.events, "bad_answer": bad}


def local_samples(into: Samples, pipeline: Pipeline) -> None:
    """What local subscribers get, and do not get."""
    broker = pipeline.broker
    into.put(table.LOCAL_SENT, broker.delivered)
    into.put_by(table.LOCAL_DROPPED, broker.drops)
    away = len(broker.sessions.away)
    into.put_by(table.SESSIONS, {"here": len(broker.sessions) - away, "away": away})
    into.put(table.QUEUED, broker.sessions.away_bytes)
    into.put(table.RETAINED, broker.retained.count)


def rule_samples(into: Samples, pipeline: Pipeline) -> None:
    """How rules and commands fare."""
    desk = pipeline.rules
    rules, engine = desk.host.rules.rules, desk.host.engine
    enabled = [rule for rule in rules if rule.spec.enabled]
    shadow = sum(rule.is_shadow for rule in enabled)
    modes = {"active": len(enabled) - shadow, "shadow": shadow, "disabled": len(rules) - len(enabled)}
    into.put_by(table.RULES, modes)
    into.put(table.RULE_PROBLEMS, len(desk.files.problems))
    totals = None if engine is None else engine.totals  # without rules there is none
    into.put(table.EVALUATIONS, 0 if totals is None else totals.asked)
    into.put(table.FIRINGS, 0 if totals is None else totals.fired)
    into.put(table.SUPPRESSED, 0 if totals is None else totals.suppressed)
    into.put(table.RULE_ERRORS, 0 if totals is None else totals.errors)
    into.put_by(table.EFFECTS, desk.host.actuator.counts)
    severities = dict.fromkeys(("info", "warning", "critical"), 0) | Counter(one.severity for one in desk.host.alerts())
    into.put_by(table.ALERTS, severities)
    commands = pipeline.commands.core
    into.put_by(table.COMMANDS, {str(status): count for status, count in commands.counts.items()})
    into.put(table.COMMANDS_OPEN, commands.open_count)
