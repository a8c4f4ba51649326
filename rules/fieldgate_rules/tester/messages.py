"""Messages of a test, read by the profiles as the gateway reads them (``gateway/fieldgate/ingest/decode.py``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from fieldgate_devices.catalogue import Candidate, Catalogue, choose
from fieldgate_devices.decoders.json_text import is_json
from fieldgate_devices.event import GENERIC, Address, Lane

__all__ = ["LANES_BY_NAME", "Messages", "Said"]

LANES_BY_NAME: Final = {lane.name.lower(): int(lane) for lane in Lane}
_MAX_KNOWN: Final = 10_000


class Said(msgspec.Struct, frozen=True, gc=False):
    """What an event will say, whenever it comes. ``at_ns`` is the device's own time, UTC."""

    address: Address
    data: bytes
    is_json: bool = True
    lane: int = Lane.NORMAL
    at_ns: int | None = None


class _Topic(msgspec.Struct, gc=False):
    """What is known of a topic: the ``candidates``, and how its messages are read fast, with what all of them share."""

    candidates: list[Candidate]
    plain: Callable[[bytes], bytes | None] | None = None
    address: Address | None = None
    lane: int | None = None


class Messages:
    """Reads messages; what depends on a topic alone is worked out once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._topics: dict[str, _Topic] = {}
        self._addresses: dict[tuple[str, str, str], Address] = {}

    def read(self, topic: str, payload: bytes, *, lane: int = Lane.NORMAL) -> list[Said]:
        """Return what a message says; a device without a profile says what it has sent.

        Raises:
            Breach: it is not what its profile says.
        """
        known = self._topics.get(topic) or self._topic(topic)
        if known.plain is not None and known.address is not None and (data := known.plain(payload)) is not None:
            return [Said(known.address, data, True, lane if known.lane is None else known.lane)]
        candidate = choose(known.candidates, payload)
        if candidate is None:
            return [Said(self._address(topic.replace("/", "."), GENERIC, topic, 0), payload, is_json(payload), lane)]
        profile = candidate.contract.profile
        own_lane = lane if profile.lane is None else LANES_BY_NAME[profile.lane]
        return [
            Said(
                self._address(reading.device, profile.profile, topic, profile.version),
                reading.data,
                True,
                own_lane,
                reading.at_ns,
            )
            for reading in candidate.contract.read(payload, candidate.captures, topic)
        ]

    def _topic(self, topic: str) -> _Topic:
        if len(self._topics) >= _MAX_KNOWN:
            self._topics.clear()
        found = self._topics[topic] = _Topic(self._catalogue.candidates(topic))
        first = found.candidates[0] if found.candidates else None
        if first is not None and first.conditions is None and first.fast is not None and first.device is not None:
            profile = first.contract.profile
            found.plain = first.fast.plain
            found.address = self._address(first.device, profile.profile, topic, profile.version)
            found.lane = None if profile.lane is None else LANES_BY_NAME[profile.lane]
        return found

    def _address(self, device: str, type_: str, topic: str, version: int) -> Address:
        key = (type_, device, topic)
        address = self._addresses.get(key)
        if address is None:
            if len(self._addresses) >= _MAX_KNOWN:
                self._addresses.clear()
            address = self._addresses[key] = Address(device, type_, topic, version)
        return address
