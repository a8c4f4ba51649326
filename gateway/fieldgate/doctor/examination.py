"""Look at everything, part by part, with the gateway running or not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import NamedTuple

from fieldgate import clock
from fieldgate.config.loader import Reading
from fieldgate.config.model import Config
from fieldgate.config.source import SourceConfig
from fieldgate.config.uplink import OwnListeners, UplinkConfig
from fieldgate.doctor.broker_checks import BrokerWishes
from fieldgate.doctor.clock_checks import clock_findings
from fieldgate.doctor.clock_facts import read_clock
from fieldgate.doctor.config_checks import config_findings
from fieldgate.doctor.far_side_checks import FarSideVisit, examine_far_side
from fieldgate.doctor.finding import Finding
from fieldgate.doctor.gateway_checks import gateway_findings
from fieldgate.doctor.gateway_facts import GatewayFacts, read_gateway
from fieldgate.doctor.machine_checks import machine_findings
from fieldgate.doctor.machine_facts import read_machine
from fieldgate.doctor.serial_checks import serial_findings
from fieldgate.doctor.software_checks import read_software, software_findings
from fieldgate.doctor.storage_checks import storage_findings
from fieldgate.doctor.storage_facts import read_storage
from fieldgate.doctor.users import GatewayUser
from fieldgate_devices.files.document import Loc, Problem

__all__ = ["Examination", "Part", "far_side_names", "far_sides"]


class Part(NamedTuple):
    """What was looked at together."""

    name: str
    findings: list[Finding]


@dataclass(frozen=True, slots=True)
class Examination:
    """``problems`` are those of the configuration and its files; ``only`` is the one uplink or source to look at."""

    reading: Reading
    problems: Sequence[Problem] = ()
    only: str | None = None
    is_offline: bool = False
    tell: Callable[[str], None] = field(default=lambda _text: None)

    async def parts(self) -> AsyncIterator[Part]:
        """Look at one part after the other; each is answered as soon as it is known."""
        config = self.reading.config or Config()
        self.tell("asking the gateway")
        gateway = await read_gateway(config.journal.path)
        yield Part("clock", list(clock_findings(read_clock(), earliest_s=clock.EARLIEST_PLAUSIBLE_NS / 1e9)))
        if self.only is None:
            yield Part("config", list(config_findings(self.reading, self.problems)))
            yield Part("software", list(software_findings(read_software(), wall_s=clock.wall_ns() / 1e9)))
        if self.reading.config is None:  # nobody knows where the journal is, or what leads where
            return
        if self.only is None:
            yield Part("storage", await asyncio.to_thread(self._storage, config, gateway))
            yield Part("gateway", list(gateway_findings(gateway, version=version("fieldgate"))))
            yield Part("machine", list(self._machine(config, gateway)))
            user = GatewayUser.of(_gateway_uid(config, gateway))
            if found := list(serial_findings(config, user=user, gateway_pid=gateway.pid)):
                yield Part("serial", found)
        async for part in self._far_sides(config, gateway):
            yield part

    def _storage(self, config: Config, gateway: GatewayFacts) -> list[Finding]:
        facts = read_storage(config.journal.path, tell=self.tell)
        is_running = gateway.status is not None or bool(gateway.problem)
        return list(storage_findings(facts, max_size_bytes=config.journal.max_size_bytes, is_running=is_running))

    def _machine(self, config: Config, gateway: GatewayFacts) -> Iterator[Finding]:
        pid = gateway.pid
        clients = sum(listen.max_clients for listen in config.listen)
        facts = read_machine(pid if pid is not None else os.getpid())
        whose = "the gateway" if pid is not None else "a process begun here"
        return machine_findings(facts, clients=clients, whose=whose)

    async def _far_sides(self, config: Config, gateway: GatewayFacts) -> AsyncIterator[Part]:
        visits = far_sides(self.reading, config, gateway)
        visits = {name: visit for name, visit in visits.items() if self.only in (None, name)}
        if self.is_offline:
            if visits:
                seen = f"{len(visits)} way(s) out and in were not gone: --offline"
                yield Part("uplinks", [Finding("uplink.offline", seen)])
            return
        if not config.uplinks and self.only is None:
            yield Part("uplinks", [_no_uplink(self.reading)])
        tasks: dict[str, asyncio.Task[list[Finding]]] = {}
        is_set = clock.is_synced()
        async with asyncio.TaskGroup() as group:
            for name, visit in visits.items():
                way = examine_far_side(visit, is_clock_set=is_set, tell=self.tell)
                tasks[name] = group.create_task(way, name=f"doctor:{name}")
        for name, task in tasks.items():
            yield Part(visits[name].about, task.result())


def _no_uplink(reading: Reading) -> Finding:
    return Finding(
        "uplink.none",
        "no uplink is configured: events are kept here until there is one",
        f"write one into {reading.path or 'fieldgate.yaml'}: uplinks: {{cloud: {{mqtt: {{url: "
        "'mqtts://broker.example'}}}",
    )


def _gateway_uid(config: Config, gateway: GatewayFacts) -> int:
    """Whom the gateway runs as: that of its process, else who owns its folder, else who asks."""
    places = [f"/proc/{gateway.pid}"] if gateway.pid is not None else []
    for place in [*places, str(config.journal.path)]:
        try:
            return os.stat(place).st_uid  # noqa: PTH116  # one call for both
        except OSError:
            continue
    return os.geteuid()


def far_side_names(config: Config) -> list[str]:
    """Which uplinks and sources lead to a server."""
    uplinks = [name for name, one in config.uplinks.items() if one.webhook or name in config.brokers_up]
    return [*uplinks, *(one.name for one in config.sources if one.mqtt is not None and one.name not in uplinks)]


def far_sides(reading: Reading, config: Config, gateway: GatewayFacts) -> dict[str, FarSideVisit]:
    """Where to go, by name; of an uplink and a source with one name the uplink is meant."""
    largest = max((listen.max_packet for listen in config.listen), default=0)
    status = gateway.status or {"uplinks": {}, "sources": {}}
    visits: dict[str, FarSideVisit] = {}
    for name, uplink in config.uplinks.items():
        is_up = status["uplinks"].get(name, {}).get("state") == "connected"
        visit = _of_uplink(name, uplink, largest, is_connected=is_up)
        if visit is not None:
            visits[name] = replace(visit, left_out=_left_out(reading, ("uplinks", name)))
    for number, source in enumerate(config.sources):
        if source.mqtt is not None and source.name not in visits:
            is_up = status["sources"].get(source.name, {}).get("state") == "connected"
            left_out = _left_out(reading, ("sources", number))
            visits[source.name] = replace(_of_source(source, is_connected=is_up), left_out=left_out)
    return visits


def _left_out(reading: Reading, loc: Loc) -> frozenset[str]:
    """The keys of a broker that are wrong, or could not be looked at from here."""
    inside = [broken[len(loc) + 1 :] for broken in reading.broken if broken[: len(loc)] == loc]
    return frozenset(str(rest[0]) if rest else "url" for rest in inside)


def _of_uplink(name: str, uplink: UplinkConfig, largest: int, *, is_connected: bool) -> FarSideVisit | None:
    about = f"uplink {name}"
    if uplink.webhook is not None:
        return FarSideVisit(about, uplink.webhook)
    mqtt = uplink.mqtt
    if mqtt is None or isinstance(mqtt, OwnListeners):
        return None
    wishes = BrokerWishes(
        wants_retain=mqtt.status_topic != "off" or uplink.home_assistant is not None,
        events_each=uplink.batch.max_events if uplink.format == "cloudevents-batch" else 1,
        largest_bytes=largest,
        window=mqtt.window,
        is_connected=is_connected,
    )
    return FarSideVisit(about, mqtt, mqtt, wishes, is_version_fixed=uplink.format == "cloudevents-binary")


def _of_source(source: SourceConfig, *, is_connected: bool) -> FarSideVisit:
    wishes = BrokerWishes(wants_qos_1=False, is_connected=is_connected)
    return FarSideVisit(f"source {source.name}", source.broker, source.broker, wishes)
