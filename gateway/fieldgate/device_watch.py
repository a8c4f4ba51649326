"""The registry at work: fed by the flow, looked at once a second, kept on disk, heard by whoever tells others.

What falls silent, and what is back, becomes an event of type ``silent`` or ``back`` of that device. Its data::

    device, profile    whose silence it is
    since              when the device was heard last (UTC), and `for_s`, how long that was before this event; each
                       absent where it cannot be known (a clock that is not set, an OS boot in between)
    values             the fields it said last, those of `silent` and `back` as they were before the silence
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import structlog

from fieldgate import clock
from fieldgate.ingest.decode import Decoded
from fieldgate.ingest.device_entry import Device, Key
from fieldgate.ingest.device_facts import Now, utc_text
from fieldgate.ingest.device_rows import encode_device, encode_history, read_devices
from fieldgate.ingest.registry import Registry
from fieldgate.ingest.silence import Silence
from fieldgate.ingest.source import Received
from fieldgate.journal.device_file import DeviceTexts
from fieldgate.journal.device_keeper import DeviceKeeper
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.contract import Contract
from fieldgate_devices.event import Lane, Stamp
from fieldgate_devices.field_specs import spec_of

if TYPE_CHECKING:  # loaded with the first who tells Home Assistant, whom few have
    from fieldgate.forward.ha_entity import KnownField
    from fieldgate.forward.home_assistant import HomeAssistant, KnownDevice

__all__ = ["DeviceWatch", "Tell"]

log = structlog.get_logger("fieldgate")

_EVERY_S: Final = 1.0
_MAX_VALUES_BYTES: Final = 16_384

Tell = Callable[[str, str, bytes, int], None]
"""Takes an event of the gateway about a device: its type, the device's name, JSON data, and its lane."""


class Notice(Protocol):
    """Is told, beside the event, that a device is silent or back."""

    def __call__(self, kind: str, device: str, /, **fields: object) -> None:
        """``fields`` are those that rules may look at."""


def _nobody(kind: str, device: str, /, **fields: object) -> None:
    pass


class DeviceWatch:
    """``registry`` with its file and its listeners; implements `fieldgate.journal.device_keeper.KnownDevices`.

    ``notice`` is told what falls silent and what is back.
    """

    def __init__(
        self,
        registry: Registry,
        keeper: DeviceKeeper,
        *,
        catalogue: Catalogue,
        offsets_ns: Mapping[str, int | None],
        tell: Tell,
    ) -> None:
        self.registry = registry
        self.keeper = keeper
        self.take = registry.take
        self._offsets_ns = offsets_ns
        self._tell = tell
        self.notice: Notice = _nobody
        self._contracts: Mapping[str, Contract] = {}
        self._silence = Silence(os_boot=registry.os_boot, now_s=clock.boot_s())
        self._discoveries: list[tuple[HomeAssistant, Callable[[], None]]] = []
        texts = keeper.take_texts()
        histories = {key: text for key, text in texts.histories.items() if text is not None}
        found, unreadable = read_devices((text for text in texts.devices.values() if text is not None), histories)
        registry.restore(found, clock.boot_s())
        if unreadable:
            log.error("devices.damaged", devices=len(found), lost_rows=unreadable, set_aside="")
        keeper.watch(self)
        self.use(catalogue)

    def use(self, catalogue: Catalogue) -> None:
        """From now on by these profiles."""
        self._contracts = catalogue.contracts
        self._silence.use(dict(catalogue.silent_after))
        for discovery, kick in self._discoveries:
            discovery.begin()
            kick()

    def tells(self, discovery: HomeAssistant, kick: Callable[[], None]) -> None:
        """From now on ``discovery`` hears of devices; ``kick`` lets it send."""
        from fieldgate.forward.home_assistant import DevicesToTell

        discovery.watch(DevicesToTell(lambda: list(self.registry.devices), self.known))
        self._discoveries.append((discovery, kick))

    def take_odd(self, decoded: Decoded, received: Sequence[Received], stamp: Stamp) -> None:
        """Note a read that gave anything but one event per message; one of a device nobody knows stays unknown."""
        self.take(decoded.events, sum(message.size_bytes for message in received))
        for refused in decoded.odd.refused if decoded.odd is not None else ():
            if refused.profile:
                self.registry.failed(refused.profile, refused.device, f"{refused.code}: {refused.detail}", stamp)

    # -- running --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            self.look(clock.boot_s())
            await self.keeper.save(clock.boot_s())
            await asyncio.sleep(_EVERY_S)

    def look(self, now_s: float) -> None:
        """Book what was heard, and tell what is new."""
        registry = self.registry
        registry.fold()
        news = registry.news()
        for device, before, os_boot in news.back:
            log.info("device.back", device=device.name, profile=device.type)
            self._say("back", device, before, os_boot)
        for device in self._silence.fallen(registry.devices.values(), now_s, arrivals=registry.arrivals):
            log.info("device.fell_silent", device=device.name, profile=device.type)
            self._say("silent", device, device.last, device.last_boot)
            registry.mark_silent(device)
        if not self._discoveries or not (news.grown or news.forgotten):
            return
        for discovery, kick in self._discoveries:
            for key, fields in news.forgotten.items():
                discovery.forgotten(key, fields)
            for key in news.grown:
                discovery.appeared(key)
            kick()

    async def stop(self) -> None:
        """Book what was heard, and store everything."""
        self.registry.fold()
        await self.keeper.stop()

    def _say(self, kind: str, device: Device, heard: Stamp | None, os_boot: str) -> None:
        now = self.now()
        data: dict[str, Any] = {"device": device.name, "profile": device.type}
        if heard is not None:
            if (since := utc_text(now.utc_ns(heard, os_boot))) is not None:
                data["since"] = since
            if (age_s := now.age_s(heard, os_boot)) is not None:
                data["for_s"] = round(age_s, 1)
        values = {name: value for name, (value, _) in device.values().items()}
        text = msgspec.json.encode(data | {"values": values})
        if len(text) > _MAX_VALUES_BYTES:
            text = msgspec.json.encode(data)
        contract = self._contracts.get(device.type)
        lane = None if contract is None else contract.profile.lane
        self._tell(kind, device.name, text, Lane.NORMAL if lane is None else Lane[lane.upper()])
        self.notice(kind, device.name, **{name: data[name] for name in ("profile", "for_s") if name in data})

    # -- for others -----------------------------------------------------------------------------------------------

    def now(self) -> Now:
        """Return this moment, with what is known of all clocks."""
        boot_ns = clock.boot_ns()
        return Now(
            self.registry.os_boot,
            boot_ns,
            clock.wall_ns() if clock.is_synced() else None,
            self.registry.base_s + boot_ns / 1e9,
            self._offsets_ns,
        )

    def contract(self, device: Device) -> Contract | None:
        """Return the contract of a device's profile, if it is in use."""
        return self._contracts.get(device.type)

    def known(self, key: Key) -> KnownDevice | None:
        """Return a device as Home Assistant is told of it."""
        from fieldgate.forward.home_assistant import KnownDevice

        device = self.registry.devices.get(key)
        if device is None:
            return None
        contract = self.contract(device)
        model = "" if contract is None else contract.profile.profile
        silent_after_s = None if contract is None else contract.profile.silent_after
        return KnownDevice(
            device.type, device.name, device.version, tuple(self._known_fields(device)), silent_after_s, model
        )

    def _known_fields(self, device: Device) -> Iterable[KnownField]:
        from fieldgate.forward.ha_entity import KnownField

        contract = self.contract(device)
        topics = {name: topic for name, (_, topic) in device.values().items()}
        newest = next(reversed(device.topics), "")
        for name, kind in device.fields.items():
            topic = topics.get(name, newest)
            spec = None if contract is None else spec_of(contract.profile, name, kind)
            if topic not in device.topics or kind not in ("number", "bool", "text"):
                continue
            options = spec.values if spec is not None and spec.type == "enum" else ()
            texts = tuple(one for one in options if isinstance(one, str))
            yield KnownField(
                name,
                "number" if kind == "number" else "bool" if kind == "bool" else "text",
                topic,
                device.topics[topic].lane,
                "" if spec is None else spec.unit,
                texts if len(texts) == len(options) else (),
            )

    # -- KnownDevices ---------------------------------------------------------------------------------------------

    def changes(self, limit: int, *, is_all: bool, has_history: bool) -> DeviceTexts:
        """See `KnownDevices`."""
        registry = self.registry
        keys: list[Key] = []
        for key, is_news in registry.changed.items():
            if is_all or is_news:
                keys.append(key)
                if len(keys) == limit:
                    break
        texts = DeviceTexts()
        for key in keys:
            is_news = registry.changed.pop(key)
            device = registry.devices.get(key)
            texts.devices[key] = None if device is None else encode_device(device)
            if device is not None:
                device.is_stored = True
            if has_history or is_news:
                texts.histories[key] = None if device is None else encode_history(device)
        return texts

    def all_changed(self) -> None:
        """See `KnownDevices`."""
        self.registry.changed |= dict.fromkeys(self.registry.devices, True)
