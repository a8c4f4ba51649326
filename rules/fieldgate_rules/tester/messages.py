"""Messages of a test, read by the profiles as the gateway reads them (``gateway/fieldgate/ingest/decode.py``)."""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate_devices.catalogue import Candidate, Catalogue, choose
from fieldgate_devices.event import GENERIC, Address, Lane

__all__ = ["LANES_BY_NAME", "Messages", "Said"]

LANES_BY_NAME: Final = {lane.name.lower(): int(lane) for lane in Lane}
_MAX_KNOWN: Final = 10_000
_scan = msgspec.json.Decoder(msgspec.Raw).decode


class Said(msgspec.Struct, frozen=True, gc=False):
    """What an event will say, whenever it comes. ``at_ns`` is the device's own time, UTC."""

    address: Address
    data: bytes
    is_json: bool = True
    lane: int = Lane.NORMAL
    at_ns: int | None = None


class Messages:
    """Reads messages; what depends on a topic alone is worked out once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._candidates: dict[str, list[Candidate]] = {}
        self._addresses: dict[tuple[str, str, str], Address] = {}

    def read(self, topic: str, payload: bytes, *, lane: int = Lane.NORMAL) -> list[Said]:
        """Return what a message says; a device without a profile says what it has sent.

        Raises:
            Breach: it is not what its profile says.
        """
        candidates = self._candidates.get(topic)
        if candidates is None:
            if len(self._candidates) >= _MAX_KNOWN:
                self._candidates.clear()
            candidates = self._candidates[topic] = self._catalogue.candidates(topic)
        candidate = choose(candidates, payload)
        if candidate is None:
            return [Said(self._address(topic.replace("/", "."), GENERIC, topic, 0), payload, _is_json(payload), lane)]
        profile = candidate.contract.profile
        own_lane = lane if profile.lane is None else LANES_BY_NAME[profile.lane]
        fast = candidate.fast
        if fast is not None and candidate.device is not None:
            address = self._address(candidate.device, profile.profile, topic, profile.version)
            if fast.plain is not None and (data := fast.plain(payload)) is not None:
                return [Said(address, data, True, own_lane)]
            if fast.timed is not None and (timed := fast.timed(payload)) is not None:
                return [Said(address, timed[0], True, own_lane, timed[1])]
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

    def _address(self, device: str, type_: str, topic: str, version: int) -> Address:
        key = (type_, device, topic)
        address = self._addresses.get(key)
        if address is None:
            if len(self._addresses) >= _MAX_KNOWN:
                self._addresses.clear()
            address = self._addresses[key] = Address(device, type_, topic, version)
        return address


def _is_json(payload: bytes) -> bool:
    try:
        _scan(payload)
        if not payload.isascii():
            payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
