"""What is known of devices: from the running gateway's registry, or from what the last one stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Final

import msgspec

from fieldgate import clock
from fieldgate.config import Config
from fieldgate.control import Answer, ControlError, Handler
from fieldgate.ingest.device_entry import Device
from fieldgate.ingest.device_facts import Now, device_facts
from fieldgate.ingest.device_rows import read_devices
from fieldgate.ingest.profile_files import ProfileFiles
from fieldgate.journal.device_file import device_path, stored_devices
from fieldgate.pipeline import Pipeline
from fieldgate_devices.contract import Contract

__all__ = ["ChosenDevices", "device_handlers", "facts_of_stored"]

_AT_ONCE: Final = 50


class ChosenDevices(msgspec.Struct, forbid_unknown_fields=True):
    """Which devices a request is about: names or globs of them (None: all), and whether only those that are silent.

    ``has_fields``: with everything that they said last.
    """

    names: list[str] | None = None
    profile: str | None = None
    silent: bool = False
    has_fields: bool = False

    def takes(self, device: Device) -> bool:
        """Whether it is one of them."""
        if self.silent and not device.is_silent:
            return False
        if self.profile is not None and not fnmatchcase(device.type, self.profile):
            return False
        names = self.names
        return names is None or device.name in names or any(fnmatchcase(device.name, one) for one in names)


class _Names(msgspec.Struct, forbid_unknown_fields=True):
    names: list[str]


def device_handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {"devices.status": partial(_status, pipeline), "devices.forget": partial(_forget, pipeline)}


async def _status(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    chosen = msgspec.convert(request, ChosenDevices)
    watch = pipeline.devices
    watch.registry.fold()
    contracts = pipeline.profiles.loaded.catalogue.contracts
    found = _facts(list(watch.registry.devices.values()), chosen, watch.now(), contracts)
    for number, facts in enumerate(found, 1):
        yield facts
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)  # devices have their turn


async def _forget(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    """Forget devices until they are heard again, and let Home Assistant know."""
    asked = msgspec.convert(request, _Names)
    watch = pipeline.devices
    watch.registry.fold()
    chosen = ChosenDevices(names=asked.names)
    keys = [device.key for device in watch.registry.devices.values() if chosen.takes(device)]
    watch.registry.forget(keys)
    watch.look(clock.boot_s())
    yield {"forgotten": [{"device": name, "profile": kind} for kind, name in keys]}


def facts_of_stored(config: Config, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Answer ``devices.status`` from the file, which is as old as the last time the gateway stored it.

    Raises:
        ControlError: there is none, or it cannot be read.
    """
    chosen = ChosenDevices(**{key: value for key, value in request.items() if key != "do"})
    texts = stored_devices(config.journal.path)
    if texts is None:
        raise ControlError(f"{device_path(config.journal.path)}: nothing that can be read is stored of devices")
    histories = {key: text for key, text in texts.histories.items() if text is not None}
    devices, _ = read_devices((text for text in texts.devices.values() if text is not None), histories)
    now = Now(clock.os_boot_id(), clock.boot_ns(), clock.wall_ns() if clock.is_synced() else None)
    catalogue = ProfileFiles(config.devices.path, config.assigned).load().catalogue
    yield from _facts(devices, chosen, now, catalogue.contracts)


def _facts(
    devices: Iterable[Device], chosen: ChosenDevices, now: Now, contracts: Mapping[str, Contract]
) -> Iterator[dict[str, Any]]:
    for device in devices:
        if chosen.takes(device):
            contract = contracts.get(device.type)
            yield device_facts(device, now, contract=contract, has_fields=chosen.has_fields)
