"""Run the examples of a profile: the same for its author, for CI and for ``fieldgate devices check``."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from fieldgate_devices.breach import Breach
from fieldgate_devices.contract import SERIAL, Contract, Matcher, Reading
from fieldgate_devices.files.document import Document, Loc, Problem
from fieldgate_devices.modbus.memory import read_memory, values_in
from fieldgate_devices.modbus.register import make_registers
from fieldgate_devices.profile import Example, Profile

__all__ = ["example_payload", "failing_examples", "sample_topic", "time_text", "topic_of"]

_EXAMPLE: Final = "example"


def example_payload(example: Example, profile: Profile) -> bytes:
    """Return the bytes of an example's message: of registers what a poll of them gives.

    Raises:
        ValueError: they are not written as they should be.
    """
    if example.in_registers and profile.modbus is not None:
        values = values_in(read_memory(example.in_registers), make_registers(profile.modbus))
        return msgspec.json.encode(values)
    if example.in_hex is not None:
        return bytes.fromhex(example.in_hex)
    if example.in_base64 is not None:
        return base64.b64decode(example.in_base64, validate=True)
    if isinstance(example.in_, str):
        return example.in_.encode()
    return msgspec.json.encode(example.in_)


def topic_of(contract: Contract) -> str:
    """Return a topic of messages that are the contract's."""
    if contract.matchers:
        return sample_topic(contract.matchers[0])
    return f"{SERIAL}{_EXAMPLE}" if contract.profile.modbus is None else f"modbus/{_EXAMPLE}/{_EXAMPLE}"


def sample_topic(matcher: Matcher) -> str:
    """Return a topic that ``matcher`` takes."""
    if matcher.topic is None:
        return f"serial/{matcher.serial}" if matcher.serial is not None else "example"
    levels = []
    for level in matcher.topic.text.split("/"):
        text = "x" if level == "+" else level
        for name in matcher.topic.names:
            text = text.replace(f"{{{name}#}}", name).replace(f"{{{name}}}", name)
        levels.append("x" if text == "#" else text)
    return "/".join(levels)


def failing_examples(contract: Contract, document: Document) -> list[Problem]:
    """Return a problem for each example that is not what its profile makes of it."""
    problems = []
    for number, example in enumerate(contract.profile.examples):
        loc: Loc = ("examples", number)
        wrong = _wrong(contract, example)
        if wrong:
            at = document.where((*loc, wrong[0]) if document.node((*loc, wrong[0])) is not None else loc)
            problems.append(Problem(at, f"example {number + 1}: {wrong[1]}"))
    return problems


def _wrong(contract: Contract, example: Example) -> tuple[str, str] | None:
    """What is wrong with an example: the key, and what it is."""
    try:
        payload = example_payload(example, contract.profile)
    except (ValueError, binascii.Error) as error:
        key = next((one for one in ("in_hex", "in_registers") if getattr(example, one)), "in_base64")
        return key, f"the payload cannot be read: {error}"
    topic = example.topic or topic_of(contract)
    matched = contract.match(topic, payload) if contract.matchers else {"device": example.device or _EXAMPLE}
    if matched is None:
        return "topic", f"match does not take this message on topic {topic!r}"
    try:
        readings = contract.read(payload, matched, topic)
    except Breach as breach:
        if example.error is None:
            return "in", f"it breaks the contract: {breach.detail}"
        if example.error not in breach.detail:
            return "error", f"it is refused, but for another reason: {breach.detail}"
        return None
    if example.error is not None:
        return "error", "it is not refused"
    return _difference(example, readings)


def _difference(example: Example, readings: list[Reading]) -> tuple[str, str] | None:
    wanted: list[Any] = example.out if isinstance(example.out, list) else [example.out]
    got = [msgspec.json.decode(reading.data) for reading in readings]
    if len(wanted) != len(got):
        return "out", f"it gives {len(got)} events, not {len(wanted)}"
    for want, have in zip(wanted, got, strict=True):
        if not isinstance(want, dict):
            return "out", "out must be a mapping of fields, or a list of such"
        names = [*want, *(name for name in have if name not in want)]
        for name in names:
            if name not in have:
                return "out", f"{name} is absent, not {want[name]!r}"
            if name not in want:
                return "out", f"{name} is {have[name]!r}, and out does not have it"
            if have[name] != want[name] or isinstance(have[name], bool) != isinstance(want[name], bool):
                return "out", f"{name} is {have[name]!r}, not {want[name]!r}"
    if example.device is not None and readings[0].device != example.device:
        return "device", f"the device is {readings[0].device!r}, not {example.device!r}"
    if example.at is not None and (at := time_text(readings[0].at_ns)) != example.at:
        return "at", f"the time is {at}, not {example.at}"
    return None


def time_text(at_ns: int | None) -> str:
    """A device's time in RFC 3339, in UTC, without a fraction where it has none; "absent" for None."""
    if at_ns is None:
        return "absent"
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
    return at.isoformat().replace("+00:00", "Z")
