"""Turn what a source heard into events, by the contracts of the devices.

A message under a contract gives one event or several, or breaks it. One under none is, as ``devices.unknown`` says,
accepted as ``generic`` (device is the topic with ``.`` for ``/``; JSON or opaque bytes, byte for byte), quarantined or
rejected. Nothing that a device can send raises anything here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from fieldgate.ingest.source import Damaged, Received
from fieldgate_devices.breach import Breach
from fieldgate_devices.catalogue import Candidate, Catalogue, choose
from fieldgate_devices.decoders.json_text import is_json
from fieldgate_devices.event import GENERIC, Address, Event, Extra, Lane, Stamp, Trace
from fieldgate_devices.fast_json import Fast, Known

__all__ = ["ContractDecoder", "Decoded", "Odd", "Refused", "Unknown", "put_into_traces"]

Unknown = Literal["accept", "quarantine", "reject"]

_CACHED_TOPICS: Final = 10_000
_MAX_DEVICES: Final = 10_000  # addresses of devices that are named in the message
_REPLAYED: Final = Extra(is_replayed=True)
_NO_EXTRA: Final = Extra()
_NO_FAST: Final = Fast()
_READS_APART: Final = 16
_LANES: Final = {lane.name.lower(): int(lane) for lane in Lane}


@dataclass(frozen=True, slots=True)
class Refused:
    """Message ``index`` of a read breaks its contract, or is of a device that nobody knows (``profile`` is empty).

    ``device`` is empty where the topic does not say it. ``version`` is 0 where no contract was asked.
    """

    index: int
    profile: str
    version: int
    code: str
    detail: str
    lane: int
    device: str = ""


@dataclass(slots=True)
class Odd:
    """Where a read gave anything but one event per message.

    ``causes[i]`` is the message that event ``i`` comes of. ``rejected`` are messages that are not kept at all.
    """

    causes: list[int]
    refused: list[Refused] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)


class Decoded(msgspec.Struct, gc=False):
    """Events of one read, in order.

    ``odd`` is None where each message gave exactly one; ``is_mixed``: they are of several lanes. ``known`` is what each
    event says, where that is at hand.
    """

    events: list[Event]
    odd: Odd | None
    is_mixed: bool
    known: Sequence[Known] | None = None


def put_into_traces(decoded: Decoded, traces: Mapping[int, Trace]) -> None:
    """Say in the events of a read to which traces they belong; ``traces`` is by message."""
    causes = range(len(decoded.events)) if decoded.odd is None else decoded.odd.causes
    for event, message in zip(decoded.events, causes, strict=True):
        trace = traces.get(message)
        if trace is not None:
            event.extra = msgspec.structs.replace(event.extra or _NO_EXTRA, trace=trace)


class _Route(msgspec.Struct, gc=False):
    """What is known of a topic: how its messages are read fast (with ``address``), else the ``candidates`` to ask."""

    address: Address
    fast: Fast
    candidates: list[Candidate]
    lane: int | None


class ContractDecoder:
    """The decoder. ``keeps_raw``: an event bears the device's bytes beside what they mean."""

    def __init__(self, catalogue: Catalogue, *, unknown: Unknown = "accept", keeps_raw: bool = False) -> None:
        self._catalogue = catalogue
        self._unknown = unknown
        self._keeps_raw = keeps_raw
        self._routes: dict[str, _Route] = {}
        self._addresses: dict[tuple[str, str, str], Address] = {}
        self._reads_apart = 0  # how many reads are to be taken message by message, for the last try was in vain

    def use(self, catalogue: Catalogue) -> None:
        """From now on by these contracts."""
        self._catalogue = catalogue
        self._routes.clear()
        self._addresses.clear()

    def __call__(self, received: Sequence[Received], stamp: Stamp, lane: int, *, is_replayed: bool = False) -> Decoded:
        """Return what a read comes to."""
        if len(received) > 1:
            if self._reads_apart:
                self._reads_apart -= 1
            elif (alike := self._all_alike(received, stamp, lane, _REPLAYED if is_replayed else None)) is not None:
                return alike
        # One pass with everything bound locally: under load this runs for each event that `_all_alike` leaves.
        route_of, keeps_raw = self._routes.get, self._keeps_raw
        events: list[Event] = []
        append = events.append
        odd: Odd | None = None
        is_mixed = False
        extra_of_all = _REPLAYED if is_replayed else None
        for index, message in enumerate(received):
            route = route_of(message.topic) or self._route(message.topic)
            payload, fast = message.payload, route.fast
            extra, data = extra_of_all, None
            if fast.plain is not None:
                data = fast.plain(payload)
            elif fast.timed is not None and (timed := fast.timed(payload)) is not None:
                data, at_ns = timed
                extra = extra if at_ns is None else Extra(at_ns, is_replayed)
            if data is not None:
                own_lane = lane if route.lane is None else route.lane
                raw = payload if keeps_raw else None
                append(
                    Event(
                        route.address, stamp, data, True, message.content_id, own_lane, 0, raw, message.expiry_s, extra
                    )
                )
                if own_lane != lane:
                    is_mixed = True
            elif not route.candidates and self._unknown == "accept":
                is_text = is_json(payload)
                append(
                    Event(
                        route.address, stamp, payload, is_text, message.content_id, lane, 0, None, message.expiry_s,
                        extra_of_all,
                    )
                )  # fmt: skip
            else:
                made = self._by_contract(message, index, route, stamp, lane, is_replayed)
                if odd is None and (not isinstance(made, list) or len(made) != 1):
                    odd = Odd(causes=list(range(len(events))))
                if isinstance(made, Refused):
                    assert odd is not None
                    odd.refused.append(made)
                    continue
                if made is None:
                    assert odd is not None
                    odd.rejected.append(index)
                    continue
                events += made
                is_mixed = is_mixed or any(event.lane != lane for event in made)
                if odd is not None:
                    odd.causes += [index] * len(made)
                continue
            if odd is not None:
                odd.causes.append(index)
        return Decoded(events, odd, is_mixed)

    def refused(self, damaged: Sequence[Damaged], lane: int) -> Decoded:
        """What damaged bytes come to: no event. The profile is that of whom they seem to be of; none was asked."""
        odd = Odd(causes=[])
        for index, one in enumerate(damaged):
            route = self._routes.get(one.message.topic) or self._route(one.message.topic)
            of = route.candidates[0] if route.candidates else None
            profile, device = ("", "") if of is None else (of.contract.profile.profile, of.device or "")
            own_lane = lane if route.lane is None else route.lane
            odd.refused.append(Refused(index, profile, 0, one.code, one.detail, own_lane, device))
        return Decoded([], odd, False)

    def _all_alike(self, received: Sequence[Received], stamp: Stamp, lane: int, extra: Extra | None) -> Decoded | None:
        """What a read comes to whose messages are all of one contract and keep it; None for any other."""
        route_of, keeps_raw = self._routes.get, self._keeps_raw
        routes = [route_of(message.topic) or self._route(message.topic) for message in received]
        fast, own_lane = routes[0].fast, routes[0].lane
        if fast.many is None or [route.fast for route in routes].count(fast) < len(routes):
            return None
        payloads = [message.payload for message in received]
        read = fast.many(payloads)
        if read is None:
            self._reads_apart = _READS_APART
            return None
        texts, known = read
        own_lane = lane if own_lane is None else own_lane
        events = [
            Event(
                route.address, stamp, text, True, message.content_id, own_lane, 0,
                message.payload if keeps_raw else None, message.expiry_s, extra,
            )
            for route, text, message in zip(routes, texts, received, strict=True)
        ]  # fmt: skip
        return Decoded(events, None, own_lane != lane, known)

    def _route(self, topic: str) -> _Route:
        if len(self._routes) >= _CACHED_TOPICS:
            self._routes.clear()
        candidates = self._catalogue.candidates(topic)
        first = candidates[0] if candidates else None
        if first is None or first.device is None:
            address = Address(topic.replace("/", "."), GENERIC, topic)
        else:
            address = self._address(first, first.device, topic)
        fast = None if first is None or first.conditions is not None else first.fast
        own_lane = None if first is None else _lane_of(first)
        route = self._routes[topic] = _Route(address, fast or _NO_FAST, candidates, own_lane)
        return route

    def _by_contract(
        self, message: Received, index: int, route: _Route, stamp: Stamp, lane: int, is_replayed: bool
    ) -> list[Event] | Refused | None:
        """The long way: its events, how it breaks its contract, or None if it is not kept."""
        topic, payload = message.topic, message.payload
        candidate = choose(route.candidates, payload)
        if candidate is None:
            return self._of_unknown(message, index, stamp, lane, is_replayed)
        contract = candidate.contract
        own_lane = _lane_of(candidate)
        own_lane = lane if own_lane is None else own_lane
        try:
            readings = contract.read(payload, candidate.captures, topic)
        except Breach as breach:
            profile = contract.profile
            return Refused(
                index, profile.profile, profile.version, breach.code, breach.detail, own_lane, candidate.device or ""
            )
        raw = payload if self._keeps_raw else None
        return [
            Event(
                self._address(candidate, reading.device, topic),
                stamp,
                reading.data,
                True,
                message.content_id,
                own_lane,
                0,
                raw,
                message.expiry_s,
                Extra(reading.at_ns, is_replayed) if is_replayed or reading.at_ns is not None else None,
            )
            for reading in readings
        ]

    def _of_unknown(
        self, message: Received, index: int, stamp: Stamp, lane: int, is_replayed: bool
    ) -> list[Event] | Refused | None:
        topic, payload = message.topic, message.payload
        if self._unknown == "reject":
            return None
        if self._unknown == "quarantine":
            return Refused(index, "", 0, "unknown_device", f"no profile takes messages of topic {topic!r}", lane)
        key = (GENERIC, topic, topic)
        address = self._addresses.get(key)
        if address is None:
            address = self._remember(key, Address(topic.replace("/", "."), GENERIC, topic))
        extra = _REPLAYED if is_replayed else None
        return [
            Event(address, stamp, payload, is_json(payload), message.content_id, lane, 0, None, message.expiry_s, extra)
        ]

    def _address(self, candidate: Candidate, device: str, topic: str) -> Address:
        profile = candidate.contract.profile
        key = (profile.profile, device, topic)
        address = self._addresses.get(key)
        return address or self._remember(key, Address(device, profile.profile, topic, profile.version))

    def _remember(self, key: tuple[str, str, str], address: Address) -> Address:
        if len(self._addresses) >= _MAX_DEVICES:
            self._addresses.clear()
        self._addresses[key] = address
        return address


def _lane_of(candidate: Candidate) -> int | None:
    name = candidate.contract.profile.lane
    return None if name is None else _LANES[name]
