"""Stored events as happenings: what the journal says of them, and nothing that rules would make twice."""

from __future__ import annotations

from fieldgate.cli.rules_history import KeptEvents
from fieldgate.journal.facts import event_facts
from fieldgate_devices.event import Address, Event, Lane, Stamp, TimeQuality
from fieldgate_rules.tester.messages import Said
from fieldgate_rules.tester.timeline import Happening, Noticed, Spoken

AT_NS = 1_767_225_600_123 * 10**6


def event(kind: str = "boiler", data: bytes = b'{"temperature":85.5}', *, is_json: bool = True, **stamp: int) -> Event:
    known = {"run": 1, "wall_ns": AT_NS, "boot_ns": 60 * 10**9, **stamp}
    return Event(Address("b1", kind, "site/b1"), Stamp(**known), data, is_json, 0, Lane.HIGH, 7)


def happenings(kept: KeptEvents, *events: Event) -> list[Happening]:
    return [one for each in events for one in kept.happenings(event_facts(each, gateway="g"))]


def test_an_event_says_what_it_said():
    """Rules must see the same fields, lane and time, to the millisecond that the journal's answer has."""
    kept = KeptEvents(())

    found = happenings(kept, event(), event(data=b"\xff\x00", is_json=False))

    address = Address("b1", "boiler", "site/b1")
    assert found == [
        Happening(AT_NS, Spoken((Said(address, b'{"temperature":85.5}', True, Lane.HIGH),))),
        Happening(AT_NS, Spoken((Said(address, b"\xff\x00", False, Lane.HIGH),))),
    ]
    assert (kept.events, kept.devices, kept.first_ns) == (2, {"b1"}, AT_NS)


def test_what_rules_made_is_not_given_to_them():
    """An alert or an emitted event comes of itself when its cause comes again."""
    kept = KeptEvents({"boiler_heat"})

    assert happenings(kept, event("boiler_heat"), event("alert"), event("gap"), event("clock")) == []
    assert kept.events == 0
    assert len(happenings(kept, event("generic"))) == 1


def test_silence_is_noticed_again():
    """A rule on gateway: silent is asked about what the gateway noticed then."""
    said = event("silent", b'{"device":"b1","profile":"boiler","for_s":301.5,"temperature":80}')

    assert happenings(KeptEvents(()), said) == [
        Happening(AT_NS, Noticed("silent", "b1", {"profile": "boiler", "for_s": 301.5}))
    ]


def test_an_event_without_a_time_is_as_long_after_the_last_as_the_machine_was_up():
    """Nobody knew the time; the order and the distance are known."""
    kept = KeptEvents(())
    unknown = {"quality": TimeQuality.UNSYNCED, "wall_ns": 60 * 10**9}

    found = happenings(
        kept,
        event(),
        event(boot_ns=90 * 10**9, **unknown),
        event(boot_ns=95 * 10**9, **unknown),
        event(run=2, boot_ns=20 * 10**9, **unknown),
        event(run=2, wall_ns=AT_NS - 10**9, boot_ns=21 * 10**9),
    )

    assert [one.at_ns - AT_NS for one in found] == [0, 30 * 10**9, 35 * 10**9, 35 * 10**9, 35 * 10**9]
    assert kept.without_time == 3
