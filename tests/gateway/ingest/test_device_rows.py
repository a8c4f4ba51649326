"""What is stored of a device is what was known of it; damaged texts are left out, never believed."""

from __future__ import annotations

import math

from device_kit import BEGAN_NS, BOOT, hear, registry, said, stamp
from fieldgate.ingest.device_entry import Device
from fieldgate.ingest.device_facts import Now, device_facts
from fieldgate.ingest.device_rows import decode_device, encode_device, encode_history, read_devices
from fieldgate_devices.event import TimeQuality


def some_device() -> Device:
    known = registry(base_s=5000.0)
    hear(known, said("a", 1, topic="a/1", t=1.5, state="on"), said("a", 2, topic="a/2", h=40))
    hear(known, said("a", 4, topic="a/1", t=2.5))
    hear(known, said("a", 6, topic="a/1", raw=b"x" * 9000))
    known.failed("boiler", "a", "missing: t", stamp(7))
    known.fold()
    return known.devices["boiler", "a"]


def test_a_device_is_the_same_after_it_was_stored() -> None:
    """Nothing of it is lost but what a message holds that was too large to be kept."""
    device = some_device()
    history = encode_history(device)
    assert history is not None

    (again,), unreadable = read_devices([encode_device(device)], {device.key: history})

    assert unreadable == 0
    assert again.topics["a/1"].times == device.topics["a/1"].times
    for topic, said_before in device.topics.items():
        for name, column in said_before.columns.items():
            pairs = zip(column, again.topics[topic].columns[name], strict=True)
            assert all(one == other or (math.isnan(one) and math.isnan(other)) for one, other in pairs)
    again.cost_bytes = device.cost_bytes
    assert encode_device(again) == encode_device(device)
    assert again.fields == device.fields
    assert again.topics["a/1"].data is None


def test_every_truncation_of_a_text_is_left_out_and_counted() -> None:
    """A row that passes its checksum and is none: of a version that never was, or a defect of ours."""
    device = some_device()
    text, history = encode_device(device), encode_history(device)
    assert history is not None

    for end in range(len(text)):
        assert read_devices([text[:end]], {}) == ([], 1)
    for end in range(len(history)):
        found, unreadable = read_devices([text], {device.key: history[:end]})
        assert (len(found), unreadable) == (1, 1)


def test_a_history_of_another_journal_is_begun_anew() -> None:
    """The journal's clock begins again with a new journal: points of the future would stay for ever."""
    device = decode_device(encode_device(some_device()))
    history = encode_history(some_device())
    assert history is not None
    (old,), _ = read_devices([encode_device(device)], {device.key: history})
    known = registry(base_s=0.0)

    known.restore([old], 10.0)

    assert [len(one.times) for one in known.devices["boiler", "a"].topics.values()] == [0, 0]


def test_restoring_more_than_there_is_room_for_keeps_who_was_heard_last() -> None:
    """`max_devices` may have been lowered meanwhile."""
    before = registry()
    for at_s, name in enumerate("abcd"):
        hear(before, said(name, at_s, t=1))
    known = registry(2)

    known.restore(reversed(before.devices.values()), 10.0)

    assert [name for _, name in known.devices] == ["c", "d"]
    assert [name for _, name in known.news().forgotten] == ["a", "b"]


# -- P6 -----------------------------------------------------------------------------------------------------------


def facts(device: Device, now: Now) -> dict[str, object]:
    return device_facts(device, now, contract=None, has_fields=False)


def heard(quality: TimeQuality) -> Device:
    device = some_device()
    device.first = device.last = stamp(100, quality=quality)
    return device


def test_last_seen_is_utc_where_the_clock_was_set() -> None:
    """Also after a reboot, and even if the clock is not set then."""
    device = heard(TimeQuality.SYNCED)

    shown = facts(device, Now("next boot", 5 * 10**9, None))

    assert shown["last_seen"] == "2026-09-21T14:15:00.000Z"
    assert shown["last_seen_s"] is None


def test_what_was_heard_before_the_clock_was_set_is_corrected_once_it_is() -> None:
    """The guess of an unset clock (1970) is never shown."""
    device = heard(TimeQuality.UNSYNCED)
    set_now = Now(BOOT, 160 * 10**9, BEGAN_NS + 160 * 10**9)

    assert facts(device, Now(BOOT, 160 * 10**9, None))["last_seen"] is None
    assert facts(device, Now(BOOT, 160 * 10**9, None))["last_seen_s"] == 60.0
    corrected = heard(TimeQuality.SYNCED)
    assert facts(device, set_now)["last_seen"] == facts(corrected, set_now)["last_seen"]


def test_after_a_reboot_the_journal_may_know_how_far_the_clock_was_off() -> None:
    """One `clock` record per OS boot: with it the time of that boot is known for ever, else only the least age."""
    device = heard(TimeQuality.UNSYNCED)
    device.last_s = 5100.0
    now = Now("next boot", 10 * 10**9, BEGAN_NS + 400 * 10**9, journal_s=5130.0)

    unknown = facts(device, now)
    known = facts(device, Now("next boot", now.boot_ns, now.wall_ns, now.journal_s, {BOOT: BEGAN_NS}))

    assert (unknown["last_seen"], unknown["last_seen_s"], unknown["last_seen_at_least_s"]) == (None, None, 30.0)
    assert known["last_seen_s"] == 300.0
    assert known["last_seen_at_least_s"] is None


def test_a_clock_that_was_set_back_gives_no_negative_age() -> None:
    """Ages of this boot go by the boot time, whatever the wall clock does."""
    device = heard(TimeQuality.SYNCED)

    assert facts(device, Now(BOOT, 130 * 10**9, 5))["last_seen_s"] == 30.0
    assert facts(device, Now("next boot", 1, 5))["last_seen_s"] == 0.0
