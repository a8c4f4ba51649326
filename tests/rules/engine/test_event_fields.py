"""The fields of events of devices without a profile."""

from __future__ import annotations

import random

import msgspec
import pytest

from fieldgate_devices.event import GENERIC, Address, Event, Stamp
from fieldgate_rules.engine import event_fields
from fieldgate_rules.engine.event_fields import FieldsReader, fields_of
from operations_kit import operations

STAMP = Stamp(1, 10**18, 10**9)
ADDRESSES = [Address(f"d{number}", GENERIC, f"d/{number}") for number in range(3)]


def event(payload: object, address: Address = ADDRESSES[0]) -> Event:
    """A message of a device that nobody knows."""
    return Event(address, STAMP, payload if isinstance(payload, bytes) else msgspec.json.encode(payload), True, 0)


def story(seed: int) -> list[Event]:
    """Messages that mostly have the same members, and some that do not."""
    chance = random.Random(seed)
    events = []
    for _ in range(60):
        payload: dict[str, object] = {"temp": chance.choice((1, 2.5, -3)), "on": True, "T out": "x"}
        if chance.random() < 0.2:
            payload["extra"] = chance.choice(([1, 2], {"a": None}, 1 << 60, None, "text"))
        if chance.random() < 0.1:
            payload.pop("on")
        odd = chance.choice((b'{"a":1,"a":2}', b"[1,2]", b"21.5", b"{"))
        events.append(event(odd if chance.random() < 0.1 else payload, chance.choice(ADDRESSES)))
    return events


@pytest.mark.parametrize("seed", range(8))
def test_a_reader_that_knows_the_device_says_what_the_plain_one_says(seed: int) -> None:
    """Whatever came before from this device or another."""
    read = FieldsReader()
    for one in story(seed):
        assert read(one) == fields_of(one)


def test_messages_of_a_kind_are_read_in_a_third_of_the_operations() -> None:
    """After the first; counted, not timed."""
    read, one = FieldsReader(), event({"temperature": 20.5, "humidity": 40, "battery": 3.1, "on": True})
    read(one)

    assert operations(read, one) < operations(fields_of, one) / 3


def test_of_many_devices_the_first_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; nobody is read wrong for it."""
    monkeypatch.setattr(event_fields, "_MAX_FLATTENERS", 2)
    read = FieldsReader()
    for one in [event({"n": number}, address) for number in range(3) for address in ADDRESSES]:
        assert read(one) == fields_of(one)
    assert len(read._flatteners) == 2
