"""How the running gateway is, as plain values: what ``fieldgate status --json`` prints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fieldgate import clock
from fieldgate.answers.backlog import backlog_age_s, floors, look
from fieldgate.answers.own_certificates import read_certificates
from fieldgate.answers.rules import rules_facts
from fieldgate.config.source import SourceConfig
from fieldgate.config.uplink import OwnListeners, UplinkConfig
from fieldgate.forward.status import UP
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.ingest.server_certificate import ServerCertificate
from fieldgate.journal.records import JournalStats
from fieldgate.journal.session_keeper import SessionKeeper
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.observe.health import check_accounts
from fieldgate.pipeline import Pipeline
from fieldgate_devices.event import TimeQuality

if TYPE_CHECKING:
    from fieldgate.forward.local_uplink import LocalUplink
    from fieldgate.forward.mqtt_uplink import MqttUplink
    from fieldgate.forward.webhook_uplink import WebhookUplink
    from fieldgate.ingest.http_listener import HttpListener
    from fieldgate.ingest.modbus_source import ModbusSource
    from fieldgate.ingest.mqtt_source import MqttSource
    from fieldgate.ingest.serial_source import SerialSource

__all__ = ["status_facts"]


async def status_facts(pipeline: Pipeline, problems: Mapping[str, str]) -> dict[str, Any]:
    """Return the whole state. ``problems`` says by task name what keeps failing, as the supervisor knows it."""
    outbox, config = pipeline.outbox, pipeline.config
    stats, oldest_s = await pipeline.keeper.call(partial(look, floors=floors(pipeline)))
    shown = await pipeline.keeper.call(lambda _journal: read_certificates(config, wall_ns=clock.wall_ns()))
    now_s = clock.boot_s()
    return {
        "gateway": config.gateway.id,
        "version": version("fieldgate"),
        "pid": os.getpid(),
        "run": f"{pipeline.run_id:016x}",
        "uptime_s": round(now_s - pipeline.started_s, 1),
        "clock": TimeQuality(pipeline.quality).name.lower(),
        "events_in": outbox.accepted,
        "routed_nowhere": outbox.routing.nowhere,
        "rate_in": round(pipeline.rate_in.per_s, 1),
        "unsettled_bytes": outbox.unsettled_bytes,
        "listeners": [_listener(one, problems.get(f"ingest:{one.name}", "")) for one in pipeline.listeners],
        "sources": {
            one.name: _source(one, config.sources[number], problems.get(f"ingest:{one.name}", ""))
            | {"certificate": shown.get(("source", one.name))}
            for number, one in enumerate(pipeline.sources)
        },
        "local_delivery": _local(pipeline.broker, pipeline.session_keeper),
        "profiles": _profiles(pipeline),
        "dead_letters": _dead_letters(pipeline),
        "devices": _devices(pipeline),
        "commands": _commands(pipeline),
        "rules": rules_facts(pipeline),
        "uplinks": {
            uplink.name: _uplink(pipeline, uplink, problems.get(f"forward:{uplink.name}", ""), oldest_s[uplink.name])
            | {"certificate": shown.get(("uplink", uplink.name))}
            for uplink in pipeline.uplinks
        },
        "journal": _journal(pipeline, stats),
        "problems": dict(problems),
    }


def _local(broker: LocalBroker, keeper: SessionKeeper) -> dict[str, Any]:
    return {
        "delivered": broker.delivered,
        "dropped": dict(broker.drops),
        "refused": dict(broker.refused + broker.retained.refused),
        "subscriptions": len(broker.subscriptions),
        "sessions": len(broker.sessions),
        "sessions_away": len(broker.sessions.away),
        "sessions_ended": dict(broker.sessions.ended),
        "queued_bytes": broker.sessions.away_bytes,
        "retained": broker.retained.count,
        "retained_bytes": broker.retained.size_bytes,
        "stored": {"is_behind": keeper.is_behind, "commits": keeper.commits, "problem": keeper.problem},
    }


def _commands(pipeline: Pipeline) -> dict[str, Any]:
    """What was told to devices; ``answered`` counts since the start."""
    desk, keeper = pipeline.commands.core, pipeline.commands.keeper
    return {
        "open": desk.open_count,
        "answered": {str(status): number for status, number in desk.counts.items()},
        "recorded": len(desk.book),
        "forgotten": desk.book.forgotten,
        "problem": keeper.problem,
    }


def _profiles(pipeline: Pipeline) -> dict[str, Any]:
    """The contracts in use; ``problems`` is why what is in the folder is not, or not all, in use."""
    watch = pipeline.profiles
    catalogue = watch.loaded.catalogue
    return {
        "count": len(catalogue.contracts),
        "own": sorted(catalogue.own),
        "commands": catalogue.commands,
        "folder": str(pipeline.config.devices.path),
        "problems": list(watch.problems),
    }


def _dead_letters(pipeline: Pipeline) -> dict[str, Any]:
    """What is kept of messages that are no events; the counts of what is not kept are since the start."""
    letters, box = pipeline.dead_letters, pipeline.dead_letters.box
    kept = letters.kept
    return {
        "kept": kept.total(),
        "bytes": letters.used_bytes,
        "max_bytes": pipeline.config.devices.dead_letters.max_size,
        "waiting": box.waiting,
        "replaying": box.replaying,
        "sampled_out": box.sampled_out.total(),
        "sampled_out_by": dict(box.sampled_out_by),
        "evicted": box.evicted.total(),
        "rejected": dict(box.rejected),
        "by": [
            {
                "profile": profile or None,
                "reason": reason,
                "kept": kept[profile, reason],
                "sampled_out": box.sampled_out[profile, reason],
                "evicted": box.evicted[profile, reason],
            }
            for profile, reason in sorted({*kept, *box.sampled_out, *box.evicted})
        ],
        "is_behind": box.is_behind,
        "commits": letters.commits,
        "problem": letters.problem,
    }


def _devices(pipeline: Pipeline) -> dict[str, Any]:
    """The registry; ``forgotten`` counts since the start, for lack of room."""
    registry, keeper = pipeline.devices.registry, pipeline.devices.keeper
    return {
        "known": len(registry.devices),
        "max": registry.max_devices,
        "silent": sum(device.is_silent for device in registry.devices.values()),
        "bytes": registry.size_bytes,
        "forgotten": registry.evicted,
        "errors_of_unknown": registry.unknown_errors,
        "commits": keeper.commits,
        "problem": keeper.problem,
    }


def _listener(listener: MqttListener | HttpListener, problem: str) -> dict[str, Any]:
    own = _mqtt(listener) if isinstance(listener, MqttListener) else _http(listener)
    return {
        "name": listener.name,
        "listening": listener.started.is_set(),
        "problem": problem,
        "clients": listener.crowd.clients,
        "connecting": listener.crowd.strangers,
        "transport": listener.transport,
        "certificate": _certificate(listener.certificate),
        "events": listener.tally.events,
        "echoes": listener.tally.echoes,
        "unacknowledged": listener.unacknowledged,
        "refused": dict(listener.refused),
        "access_problems": list(listener.gate.access.problems),
        "users": len(listener.gate.access.users),
        "ended": dict(listener.ended),
        **own,
    }


def _mqtt(listener: MqttListener) -> dict[str, Any]:
    return {
        "protocol": "mqtt",
        "publishes": listener.tally.publishes,
        "joined": listener.tally.joined,
        "unsaved": listener.tally.unsaved,
        "publishes_refused": dict(listener.tally.refused),
        "subscriptions_denied": listener.gate.denied["subscribe"],
    }


def _http(listener: HttpListener) -> dict[str, Any]:
    return {
        "protocol": "http",
        "connections": listener.accepted,
        "requests": listener.tally.requests,
        "requests_refused": dict(listener.tally.refused),
    }


def _source(source: MqttSource | SerialSource | ModbusSource, config: SourceConfig, problem: str) -> dict[str, Any]:
    facts: dict[str, Any] = asdict(source.status)
    if config.modbus is not None:
        facts |= {"kind": "modbus", "from": config.modbus.url or config.modbus.port}
    elif config.serial is None:
        facts |= {"kind": "mqtt", "from": f"{config.broker.host}:{config.broker.port}"}
    else:
        errors = facts["line_errors"]
        facts |= {"kind": "serial", "from": config.serial.port, "line_errors": errors and errors._asdict()}
    return {**facts, "for_s": round(clock.boot_s() - facts["since_s"], 1), "problem": problem}


def _certificate(certificate: ServerCertificate | None) -> dict[str, Any] | None:
    """The listener's own; None where it has no TLS."""
    if certificate is None:
        return None
    left_s = certificate.expires_in_s
    return {
        "expires_at": certificate.current.expires_at.isoformat() if left_s is not None else None,
        "days_left": int(left_s // 86_400) if left_s is not None else None,
        "warning": certificate.warning,
    }


def _uplink(
    pipeline: Pipeline, uplink: MqttUplink | LocalUplink | WebhookUplink, problem: str, stored_age_s: float | None
) -> dict[str, Any]:
    feed = pipeline.outbox.feeds[uplink.name]
    state, status = feed.state, uplink.status
    in_memory = pipeline.outbox.pending_in_memory(feed)
    pending = state.pending + in_memory
    accounts = check_accounts(routed=state.routed, delivered=state.delivered, pending=pending, ledger=state.ledger)
    parked = pipeline.outbox.parking.of(uplink.name)
    is_done = status.state in UP and not pending and not status.in_flight
    return {
        **asdict(status),
        "quiet": "nothing to send" if is_done else status.quiet,
        "for_s": round(clock.boot_s() - status.since_s, 1),
        "problem": problem,
        "to": _far_side(pipeline.config.uplinks[uplink.name]),
        **accounts,
        "is_counted": state.is_counted,
        "oldest_s": backlog_age_s(pipeline, feed, stored_age_s),
        "required": feed.route.is_required,
        "parked": len(parked),
        "parked_retrying": sum(head.is_retrying for head in parked),
        "replayed": feed.replayed,
        "replaying": feed.replay_backlog,
    }


def _far_side(uplink: UplinkConfig) -> str:
    if isinstance(uplink.mqtt, OwnListeners):
        return "local subscribers"
    far_side = uplink.broker if uplink.webhook is None else uplink.webhook  # without its path, which may be secret
    return f"{far_side.host}:{far_side.port}"


def _journal(pipeline: Pipeline, stats: JournalStats) -> dict[str, Any]:
    journal, keeper = pipeline.config.journal, pipeline.keeper
    return {
        "path": str(journal.path),
        "durability": journal.durability,
        "epoch": stats.epoch,
        "bytes": stats.size_bytes,
        "max_bytes": stats.max_size_bytes,
        "events": sum(lane.events for lane in stats.lanes),
        "commits": keeper.commits,
        "written_events": keeper.written_events,
        "full": keeper.full_cause or "",
        "when_full": journal.when_full,
        "keeps_history": journal.keep is not None,
        "set_aside_bytes": stats.set_aside_bytes,
    }
