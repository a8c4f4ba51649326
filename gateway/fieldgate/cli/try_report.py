"""What ``fieldgate devices try`` says of a message: as lines for a person, as a mapping for programs."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from fieldgate import clock
from fieldgate.cli.words import count, dump, safe
from fieldgate.forward.encode import CloudEvents
from fieldgate.ingest.decode import ContractDecoder
from fieldgate.ingest.source import Received
from fieldgate_devices.catalogue import Catalogue
from fieldgate_devices.event import Lane, Stamp, TimeQuality
from fieldgate_devices.examples import time_text
from fieldgate_devices.fields import json_value
from fieldgate_devices.paths import ABSENT
from fieldgate_devices.walkthrough import FieldStep, RecordWalk, Walk, walk_through

__all__ = ["Result", "Trial"]

_REFUSED = "a dead letter"


class Trial:
    """Sends messages through as the gateway would, without a gateway. ``is_forced``: one profile alone is tried."""

    def __init__(
        self,
        catalogue: Catalogue,
        gateway: str,
        *,
        unknown: Literal["accept", "quarantine", "reject"],
        is_forced: bool,
    ) -> None:
        self._catalogue = catalogue
        self._decode = ContractDecoder(catalogue, unknown=unknown)
        self._envelopes = CloudEvents(gateway=gateway, os_boot_of=lambda _run: None).envelopes
        self._is_forced = is_forced
        self._seq = 0

    def run(self, topic: str, payload: bytes, *, is_retained: bool = False) -> Result:
        """Return the steps of one message and what comes of it."""
        walk = walk_through(self._catalogue, topic, payload)
        stamp = Stamp(0, clock.wall_ns(), clock.boot_ns(), TimeQuality.SYNCED)
        decoded = self._decode([Received(topic, payload, 0, len(payload))], stamp, Lane.NORMAL)
        for event in decoded.events:
            self._seq += 1
            event.seq = self._seq
        events = [msgspec.json.decode(one) for one in self._envelopes(decoded.events, is_stored=False)]
        refused = decoded.odd.refused[0] if decoded.odd is not None and decoded.odd.refused else None
        is_rejected = decoded.odd is not None and bool(decoded.odd.rejected)
        reason = "" if refused is None else f"{refused.code}: {refused.detail}"
        is_accepted = refused is None and not is_rejected and (walk.chosen is not None or not self._is_forced)
        command_of = self._catalogue.command_of(topic)
        return Result(topic, payload, walk, events, reason, is_rejected, is_accepted, is_retained, command_of)


@dataclass(frozen=True, slots=True)
class Result:
    """One message: its steps, the events as they would go upstream, or the reason why it is a dead letter.

    ``command_of`` is the profile of which the topic is a command, empty where it is none.
    """

    topic: str
    payload: bytes
    walk: Walk
    events: list[dict[str, Any]]
    reason: str
    is_rejected: bool
    is_accepted: bool
    is_retained: bool
    command_of: str

    def facts(self) -> dict[str, Any]:
        """For programs."""
        walk = self.walk
        return {
            "topic": self.topic,
            "payload_base64": base64.b64encode(self.payload).decode(),
            "retained": self.is_retained,
            "ok": self.is_accepted,
            "profile": None if walk.chosen is None else walk.chosen.profile.profile,
            "version": None if walk.chosen is None else walk.chosen.profile.version,
            "captures": dict(walk.captures),
            "considered": [
                {
                    "profile": one.profile,
                    "own": one.is_own,
                    "takes_topic": one.takes_topic,
                    "why_not": one.why_not or None,
                }
                for one in walk.considered
            ],
            "undecodable": walk.undecodable or None,
            "records": [_record_facts(one) for one in walk.records],
            "reason": self.reason or None,
            "rejected": self.is_rejected,
            "command_of": self.command_of or None,
            "events": self.events,
        }

    def text(self, *, is_first: bool) -> str:
        """For a person; whatever the message holds cannot upset the terminal."""
        return ("" if is_first else "\n") + "\n".join(safe(line, keep="\n\t") for line in self._lines())

    def _lines(self) -> Iterator[str]:
        retained = ", retained" if self.is_retained else ""
        yield f"topic    {self.topic} ({count(len(self.payload), 'byte')}{retained})"
        yield f"payload  {_indented(dump(self.payload).rstrip())}"
        yield from self._profile_lines()
        walk = self.walk
        if walk.undecodable:
            yield f"decoder  {walk.undecodable}"
        for number, record in enumerate(walk.records):
            if len(walk.records) > 1:
                yield f"reading {number + 1} of {len(walk.records)}"
            yield from _record_lines(record)
        if self.reason:
            yield f"result   {_REFUSED}: {self.reason}"
        elif self.is_rejected:
            yield "result   acknowledged and thrown away (devices.unknown: reject)"
        for event in self.events:
            yield f"event    {_json(event)}"
        if self.command_of:
            yield f"note     the topic is a command of {self.command_of}: from a client of a listener this is no event"

    def _profile_lines(self) -> Iterator[str]:
        chosen, captures = self.walk.chosen, self.walk.captures
        if chosen is None:
            yield "profile  none takes it"
        else:
            caught = ", ".join(f"{part}: {text}" for part, text in captures.items())
            name, version = chosen.profile.profile, chosen.profile.version
            yield f"profile  {name}, version {version}{f' ({caught})' if caught else ''}"
        others = [one for one in self.walk.considered if one.why_not]
        is_asked = chosen is None  # why none of yours takes it
        shown = [one for one in others if one.takes_topic or (one.is_own and is_asked)]
        for one in shown:
            yield f"         not {one.profile}: {one.why_not}"
        own = sum(one.is_own for one in others) - sum(one.is_own for one in shown)
        rest = [f"{own:,} of your profiles"] if own else []
        if built_in := len(others) - len(shown) - own:
            rest.append(count(built_in, "built-in profile"))
        if rest:
            yield f"         not {' and '.join(rest)}, of other topics"


def _record_lines(walk: RecordWalk) -> Iterator[str]:
    yield f"decoder  {_json(walk.record)}"
    if walk.upgraded is not None:
        yield f"upgrade  from version {walk.version}: {_json(walk.upgraded)}"
    width = max((len(step.name) for step in walk.fields), default=0)
    for number, step in enumerate(walk.fields):
        yield f"{'fields' if not number else '':<8} {step.name:<{width}}  {_field_text(step)}"
    for name, value in walk.others.items():
        yield f"         {name:<{width}}  {_json(value)} (repeated, or kept as it is)"
    if walk.device is not None:
        yield f"device   {walk.device}"
    if walk.at_ns is not None:
        yield f"time     {time_text(walk.at_ns)}"
    named = {step.breach for step in walk.fields}
    for breach in walk.breaches:
        if breach not in named:
            yield f"         {breach}"


def _field_text(step: FieldStep) -> str:
    if step.breach:
        return f"breaks the contract: {step.breach}"
    if step.value is ABSENT:
        return "absent" if step.raw is ABSENT else f"{_json(step.raw)} -> no reading"
    raw = "not there" if step.raw is ABSENT else _json(step.raw)
    return f"{raw} -> {_json(step.value)}{f' {step.unit}' if step.unit else ''}"


def _record_facts(walk: RecordWalk) -> dict[str, Any]:
    return {
        "record": _plain(walk.record),
        "upgraded_from": walk.version,
        "upgraded": None if walk.upgraded is None else _plain(walk.upgraded),
        "fields": [_field_facts(one) for one in walk.fields],
        "others": _plain(walk.others),
        "device": walk.device,
        "at": None if walk.at_ns is None else time_text(walk.at_ns),
        "breaches": list(walk.breaches),
    }


def _field_facts(step: FieldStep) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": step.name, "unit": step.unit or None, "breach": step.breach or None}
    if step.raw is not ABSENT:
        facts["raw"] = _plain(step.raw)
    if step.value is not ABSENT:
        facts["value"] = step.value
    return facts


def _plain(value: object) -> Any:
    return json_value(dict(value) if isinstance(value, Mapping) else value)


def _json(value: object) -> str:
    return msgspec.json.encode(_plain(value)).decode()


def _indented(text: str) -> str:
    return text.replace("\n", "\n         ")
