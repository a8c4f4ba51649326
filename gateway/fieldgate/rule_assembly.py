"""The rules of one gateway, made from its configuration, its files and what an earlier process stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fieldgate import clock
from fieldgate.command_desk import CommandDesk
from fieldgate.config import Config
from fieldgate.decide.actuator import Actuator
from fieldgate.decide.rule_host import RuleHost, Take
from fieldgate.device_watch import Tell
from fieldgate.forward.status import UP
from fieldgate.journal.journal import Journal
from fieldgate.journal.keeper import Keeper
from fieldgate.journal.rule_keeper import RuleKeeper, open_rule_file
from fieldgate.journal.writer import Writer
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.rule_desk import GatewayFacts, RuleDesk, say
from fieldgate.rule_files import RuleFiles, RuleWatch
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Stamp
from fieldgate_rules.restart import is_anything
from fieldgate_rules.rule import RuleSet

if TYPE_CHECKING:
    from fieldgate.forward.local_uplink import LocalUplink
    from fieldgate.forward.mqtt_uplink import MqttUplink
    from fieldgate.forward.webhook_uplink import WebhookUplink
    from fieldgate_rules.engine import Engine

__all__ = ["make_rules"]


def make_rules(
    config: Config,
    *,
    writer: Writer,
    loop: asyncio.AbstractEventLoop,
    broker: LocalBroker,
    desk: CommandDesk,
    uplinks: Sequence[MqttUplink | LocalUplink | WebhookUplink],
    keeper: Keeper,
    catalogue: Catalogue,
    now_stamp: Callable[[], Stamp],
    take: Take,
    tell: Tell,
    formerly: Iterable[str],
) -> RuleDesk:
    """Make the desk of rules, which begins where an earlier process ended; nothing is in force before `begin`.

    ``formerly`` are ids that the gateway has had before: what it had retained under them goes, and alerts about it end.
    """
    gateway = config.gateway.id
    files = RuleWatch(RuleFiles(config), catalogue)
    rules = files.loaded.rules
    stored = RuleKeeper(open_rule_file(config.journal.path), writer, loop, commit_delay_s=config.journal.commit_delay_s)

    def make_engine(rules: RuleSet, stamp: Stamp) -> Engine:
        from fieldgate_rules.engine import Engine  # with 2 MB that a gateway without rules need not have

        return Engine(rules, gateway=gateway, stamp=stamp, os_boot=clock.os_boot_id())

    engine, rows = None, stored.take_rows()
    if rules.rules or is_anything(rows):  # alerts of rules that are gone are to be ended, too
        engine = make_engine(rules, now_stamp())
        engine.restore(rows, was_stopped=stored.was_stopped, formerly=formerly)
    actuator = Actuator(desk, broker, gateway=gateway, say=say, formerly=formerly)
    facts = GatewayFacts(gateway, lambda: _uplink_problems(uplinks), lambda: keeper.call(_used_percent))
    host = RuleHost(engine, actuator, rules=rules, take=take, make_engine=make_engine)
    return RuleDesk(host, files, stored, facts=facts, now_stamp=now_stamp, tell=tell)


def _uplink_problems(uplinks: Sequence[MqttUplink | LocalUplink | WebhookUplink]) -> Mapping[str, str | None]:
    """Why each is not connected; see `GatewayNotices.uplinks`."""
    found: dict[str, str | None] = {}
    for uplink in uplinks:
        status = uplink.status
        is_tried = status.state == "connecting"
        found[uplink.name] = "" if status.state in UP else None if is_tried else status.reason or status.state
    return found


def _used_percent(journal: Journal) -> float:
    stats = journal.stats()
    return 100 * stats.size_bytes / stats.max_size_bytes
