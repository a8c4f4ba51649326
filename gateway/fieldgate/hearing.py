"""How uplinks come to hear commands: each gets its port to the desk, and its memory of what the server may keep."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fieldgate import clock
from fieldgate.config.command_topic import OFF, command_filter
from fieldgate.config.uplink import MqttUplinkConfig
from fieldgate.decide.orders import Desk
from fieldgate.device_watch import DeviceWatch
from fieldgate.journal.keeper import Keeper

if TYPE_CHECKING:
    from fieldgate.forward.command_port import CommandPort
    from fieldgate.forward.uplink_memory import UplinkMemory

__all__ = ["Hearing"]


class Hearing:
    """``folder`` is the journal's; ``desk`` takes the commands, for the devices that ``devices`` knows."""

    def __init__(self, folder: Path, keeper: Keeper, *, desk: Desk, devices: DeviceWatch) -> None:
        self._folder = folder
        self._keeper = keeper
        self._desk = desk
        self._devices = devices

    def of(self, name: str, mqtt: MqttUplinkConfig, *, gateway: str) -> tuple[CommandPort | None, UplinkMemory]:
        """Return the port of an uplink, where it is to hear commands, and its memory."""
        from fieldgate.forward.session_record import SessionRecord  # as the uplink itself: not where there is none
        from fieldgate.forward.uplink_memory import UplinkMemory

        client_id = mqtt.client_id or f"fieldgate-{gateway}-{name}"
        record = SessionRecord(
            self._folder / "uplinks" / f"{name}.json",
            who=f"{client_id} at {mqtt.host}:{mqtt.port}",
            os_boot=clock.os_boot_id(),
        )
        wanted = "" if mqtt.commands == OFF else command_filter(mqtt.commands, gateway)
        memory = UplinkMemory(name, record, self._save, wanted=wanted)
        if not wanted:
            return None, memory
        from fieldgate.forward.command_port import CommandPort  # with a dozen files that few need
        from fieldgate.forward.command_topics import DeviceNames

        port = CommandPort(
            name,
            mqtt.commands,
            gateway=gateway,
            desk=self._desk,
            devices=DeviceNames(self._names, self._arrivals),
            new_id=lambda: secrets.token_hex(8),
            away_since_s=record.heard_s,
        )
        return port, memory

    def _names(self) -> Iterator[str]:
        return (device for _, device in self._devices.registry.devices)

    def _arrivals(self) -> int:
        """Count the devices that were ever new, those of this very turn included."""
        registry = self._devices.registry
        registry.fold()
        return registry.arrivals

    async def _save(self, work: Callable[[], None]) -> None:
        await self._keeper.call(lambda _journal: work())
