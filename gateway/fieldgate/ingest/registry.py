"""Every device that was heard: what it said last, how often, and when. Bounded in devices and in bytes.

Laws of this file. The flow pays for a dictionary entry per event and decodes nothing (`Registry.take`); everything
else is done per device by `Registry.fold`, once a second or when much has gathered. Who was heard the longest ago goes
first when there are too many, and is counted. Times inside are boot times, or the journal's clock, which runs on over
restarts; wall-clock time is only shown (P6).

It will not do: remember what is no event. A message that broke its contract is counted for its device where the topic
says which device that is.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from fieldgate.ingest.device_entry import Device, Key, Said, field_values, kind_of
from fieldgate_devices.event import GENERIC, Address, Event, Stamp

__all__ = ["News", "Registry"]

_GATHERED_DEVICES: Final = 500  # their booking holds up the loop for some milliseconds
_GATHERED_BYTES: Final = 1 << 20
_SMALL_BYTES: Final = 1024  # the newest event of each device is kept: of small ones that is little in any case
_MAX_TOPICS: Final = 64  # of one device
_MAX_FIELDS: Final = 128
_MAX_ERROR: Final = 200
_BYTES_PER_DEVICE: Final = 8192  # on average, at the most
_LEAST_BYTES: Final = 4 << 20


@dataclass(slots=True)
class News:
    """What has changed: devices with new fields, those that were silent and since when, and those that are gone.

    Of the last ones only the fields and their kinds are left.
    """

    grown: dict[Key, Device] = field(default_factory=dict)
    back: list[tuple[Device, Stamp | None, str]] = field(default_factory=list)
    forgotten: dict[Key, dict[str, str]] = field(default_factory=dict)


class Registry:
    """``devices`` are in the order in which they were heard last. ``evicted`` counts those that had to go.

    ``base_s`` is what the journal's clock is ahead of the boot time of this OS boot.
    """

    def __init__(self, *, max_devices: int, os_boot: str, base_s: float) -> None:
        self.devices: OrderedDict[Key, Device] = OrderedDict()
        self.evicted = 0
        self.unknown_errors = 0  # of messages whose topic does not say which device it was
        self.arrivals = 0  # devices that were new, or back
        self.size_bytes = 0
        self.changed: dict[Key, bool] = {}  # since it was stored; True: it may not wait long
        self.max_devices = max_devices
        self.base_s = base_s
        self.os_boot = os_boot
        self._max_bytes = max(_LEAST_BYTES, max_devices * _BYTES_PER_DEVICE)
        self._latest: dict[Address, Event] = {}
        self._counts: Counter[Address] = Counter()
        self._failed: dict[Key, tuple[int, str, Stamp]] = {}
        self._gathered_bytes = 0
        self._news = News()

    # -- the flow -------------------------------------------------------------------------------------------------

    def take(self, events: Sequence[Event], size_bytes: int) -> None:
        """Note events of one read."""
        # The loops run in C: per event a list item, a count and a dictionary entry; one device's own read costs less.
        count = len(events)
        if not count:
            return
        address = events[-1].address
        addresses = [] if count == 1 else [event.address for event in events]
        if count == 1 or (addresses[0] is address and addresses.count(address) == count):
            self._latest[address] = events[-1]
            self._counts[address] = self._counts.get(address, 0) + count
        else:
            self._counts.update(addresses)
            self._latest.update(zip(addresses, events, strict=True))
        if size_bytes > count * _SMALL_BYTES:
            self._gathered_bytes += size_bytes
        if self._gathered_bytes > _GATHERED_BYTES or len(self._latest) > _GATHERED_DEVICES:
            self.fold()

    def failed(self, profile: str, device: str, reason: str, stamp: Stamp) -> None:
        """A message of ``device`` broke its contract; the name is empty where the topic does not say it."""
        if not device:
            self.unknown_errors += 1
            return
        count, *_ = self._failed.get((profile, device), (0,))
        self._failed[profile, device] = (count + 1, reason[:_MAX_ERROR], stamp)
        if len(self._failed) > _GATHERED_DEVICES:
            self.fold()

    # -- now and then ---------------------------------------------------------------------------------------------

    def fold(self) -> None:
        """Book what `take` and `failed` have gathered."""
        latest, self._latest = self._latest, {}
        counts, self._counts = self._counts, Counter()
        failed, self._failed = self._failed, {}
        self._gathered_bytes = 0
        for address, event in latest.items():
            self._heard(address, event, counts[address])
        for (profile, name), (count, reason, stamp) in failed.items():
            device = self.devices.get((profile, name)) or self._add(profile, name, 0, stamp)
            device.errors += count
            device.last_error = reason
            self._measure(device)
            self.changed.setdefault(device.key, False)
        self._make_room()

    def _heard(self, address: Address, event: Event, count: int) -> None:
        key = (address.type, address.device)
        device = self.devices.get(key)
        if device is None:
            device = self._add(address.type, address.device, address.version, event.stamp)
            self._take_over(address)
        else:
            self.devices.move_to_end(key)
            self.changed.setdefault(key, False)
        if device.version != address.version:  # its fields may mean something else now
            device.version = address.version
            device.topics.clear()
            if device.fields:
                self._news.forgotten[key], device.fields = device.fields, {}
            self.changed[key] = True
        if device.is_silent:
            device.is_silent = False
            self.arrivals += 1
            self._news.back.append((device, device.last, device.last_boot))
            self.changed[key] = True
        device.messages += count
        stamp = event.stamp
        if device.last is None or device.last_boot != self.os_boot or stamp.boot_ns >= device.last.boot_ns:
            device.last, device.last_boot = stamp, self.os_boot
            device.last_s = self.base_s + stamp.boot_ns / 1e9
        if self._note(device, address.topic, event):
            self._measure(device)

    def _note(self, device: Device, topic: str, event: Event) -> bool:
        """Keep what it said; look into it if a point of its history is due. Return whether it takes other room now."""
        said = device.topics.pop(topic, None)
        size_bytes = -1 if said is None else said.size_bytes
        if said is None:
            if len(device.topics) >= _MAX_TOPICS:
                del device.topics[next(iter(device.topics))]
            said = Said(b"", event.is_json, 0, event.stamp)
        device.topics[topic] = said  # the last one is the newest
        said.hears(event)
        at_s = self.base_s + event.stamp.boot_ns / 1e9
        if at_s < said.next_s or said.data is None:
            return said.size_bytes != size_bytes
        values = field_values(said.data, is_json=said.is_json, is_generic=device.is_generic)
        said.add_point(values, at_s)
        for name, value in values.items():
            if device.fields.get(name) is None and (kind := kind_of(value)) and len(device.fields) < _MAX_FIELDS:
                device.fields[name] = kind
                self._news.grown[device.key] = device
                self.changed[device.key] = True
        return True

    def _add(self, kind: str, name: str, version: int, stamp: Stamp) -> Device:
        device = Device(kind, name, version, stamp, self.os_boot)
        self.devices[device.key] = device
        self.changed[device.key] = True
        self.arrivals += 1
        return device

    def _take_over(self, address: Address) -> None:
        """A device that got a profile is no longer what it was without one."""
        if address.type == GENERIC:
            return
        before = self.devices.get((GENERIC, address.topic.replace("/", ".")))
        if before is not None and address.topic in before.topics:
            self._remove(before)

    def _measure(self, device: Device) -> None:
        cost = device.measured()
        self.size_bytes += cost - device.cost_bytes
        device.cost_bytes = cost

    def _make_room(self) -> None:
        while self.devices and (len(self.devices) > self.max_devices or self.size_bytes > self._max_bytes):
            self._remove(next(iter(self.devices.values())))
            self.evicted += 1

    def _remove(self, device: Device) -> None:
        del self.devices[device.key]
        self.size_bytes -= device.cost_bytes
        if device.is_stored:
            self.changed[device.key] = True
        else:  # a flood of new names leaves nothing behind
            self.changed.pop(device.key, None)
        self._news.grown.pop(device.key, None)
        self._news.forgotten[device.key] = device.fields

    # -- for others -----------------------------------------------------------------------------------------------

    def news(self) -> News:
        """Return what has changed since it was asked for the last time."""
        news, self._news = self._news, News()
        return news

    def forget(self, keys: Iterable[Key]) -> int:
        """Forget devices until they are heard again; return how many were known."""
        self.fold()
        known = [device for key in keys if (device := self.devices.get(key)) is not None]
        for device in known:
            self._remove(device)
        return len(known)

    def mark_silent(self, device: Device) -> None:
        """It has said nothing for too long, and that was told."""
        device.is_silent = True
        self.changed[device.key] = True

    def restore(self, devices: Iterable[Device], now_s: float) -> None:
        """Take over what an earlier process stored; to be called before the first event."""
        for device in sorted(devices, key=lambda one: one.last_s):
            self.devices[device.key] = device
            device.is_stored = True
            for said in device.topics.values():
                if said.times and said.times[-1] > self.base_s + now_s:  # of a journal that is gone
                    said.forget_points()
            self._measure(device)
            if device.fields:
                self._news.grown[device.key] = device
        self._make_room()
