"""What tests of the registry share: events of devices, at a time of their own."""

from __future__ import annotations

import json
from typing import Any

from fieldgate.ingest.registry import Registry
from fieldgate_devices.event import Address, Event, Stamp, TimeQuality

BOOT = "11111111-1111-1111-1111-111111111111"
BEGAN_NS = 1_790_000_000 * 10**9


def stamp(at_s: float, *, quality: TimeQuality = TimeQuality.SYNCED) -> Stamp:
    """A moment, ``at_s`` after the OS boot."""
    return Stamp(7, BEGAN_NS + int(at_s * 1e9), int(at_s * 1e9), quality)


def said(
    device: str, at_s: float, *, kind: str = "boiler", topic: str = "", version: int = 1, raw: bytes = b"", **data: Any
) -> Event:
    """What a device said; ``raw`` instead of ``data`` is no JSON."""
    address = Address(device, kind, topic or f"site/{device}", version if kind != "generic" else 0)
    return Event(address, stamp(at_s), raw or json.dumps(data).encode(), not raw, 1)


def registry(max_devices: int = 100, *, base_s: float = 0.0) -> Registry:
    return Registry(max_devices=max_devices, os_boot=BOOT, base_s=base_s)


def hear(known: Registry, *events: Event) -> None:
    known.take(events, sum(len(event.data) for event in events))
    known.fold()
