"""Every device that was heard is known, in bounded room; plain values, no clock."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from device_kit import hear, registry, said, stamp
from fieldgate.ingest import device_entry
from fieldgate.ingest import registry as registry_module
from fieldgate.ingest.device_entry import POINTS, Device, Said
from fieldgate.ingest.registry import Registry

Patch = pytest.MonkeyPatch


def test_each_message_counts_for_its_device_however_reads_are_cut() -> None:
    """Counts are what a person compares with the device's own; one too many and nobody believes any."""
    rng = random.Random(4)
    known = registry()
    expected: Counter[tuple[str, str]] = Counter()
    for at_s in range(200):
        names = [f"d{rng.randrange(7)}" for _ in range(rng.choice([0, 1, 1, 2, 30]))]
        events = [said(name, at_s, kind=rng.choice(["boiler", "pump"]), n=at_s) for name in names]
        expected.update((event.address.type, name) for event, name in zip(events, names, strict=True))
        known.take(events, 10)
        if rng.random() < 0.2:
            known.fold()

    known.fold()

    assert {key: device.messages for key, device in known.devices.items()} == expected


def test_a_read_of_one_device_counts_all_of_its_messages() -> None:
    """The short way for it must not take the ends for the whole."""
    known = registry()
    one, other = said("a", 1, t=1), said("b", 1, t=1)

    hear(known, one, one, one)
    hear(known, one, other, one)

    assert {name: device.messages for (_, name), device in known.devices.items()} == {"a": 5, "b": 1}


def test_the_last_values_are_those_of_the_last_message_of_each_topic() -> None:
    """A device may say each thing on a topic of its own; what it said last of each is what holds."""
    known = registry()

    hear(known, said("a", 1, topic="a/1", t=1.5, state="on"), said("a", 2, topic="a/2", h=40))
    hear(known, said("a", 3, topic="a/1", t=2.5))

    assert known.devices["boiler", "a"].values() == {"t": (2.5, "a/1"), "h": (40, "a/2")}


def test_the_newest_message_is_the_one_heard_last_whatever_the_clock_says() -> None:
    """A clock that is set back must not bring old values back (P6)."""
    known = registry()
    old, new = said("a", 1, topic="a/1", t=1), said("a", 2, topic="a/2", t=2)
    new.stamp = msgspec.structs.replace(new.stamp, wall_ns=0)

    hear(known, old)
    hear(known, new)

    assert known.devices["boiler", "a"].values() == {"t": (2, "a/2")}


@pytest.mark.parametrize(
    "number", ["1" + "0" * 400, "1" + "0" * 5000, "-1" + "0" * 308, "18446744073709551616", "5e-324"]
)
@pytest.mark.parametrize("kind", ["boiler", "generic"])
def test_no_number_stops_the_flow(kind: str, number: str) -> None:
    """What is booked in the middle of a read must never raise, whatever a device says."""
    known = registry()

    hear(known, said("a", 1, kind=kind, raw=b'{"n": %s}' % number.encode()))
    event = said("a", 3, kind=kind, raw=b'{"n": %s}' % number.encode())
    event.is_json = True
    hear(known, event)

    assert known.devices[kind, "a"].messages == 2


def test_generic_devices_are_known_by_their_flattened_fields() -> None:
    """What goes upstream is what is shown."""
    known = registry()

    hear(known, said("x.y", 1, kind="generic", AM2301={"Temperature": 21}, on=True))

    device = known.devices["generic", "x.y"]
    assert {name: value for name, (value, _) in device.values().items()} == {"am2301_temperature": 21.0, "on": True}
    assert device.fields == {"am2301_temperature": "number", "on": "bool"}


@pytest.mark.parametrize("data", [b"\xff\x00", b"21.5", b"[1]", b'{"a":' * 40 + b"1" + b"}" * 40])
def test_what_is_no_mapping_has_no_fields_and_does_no_harm(data: bytes) -> None:
    """A generic device may send anything."""
    known = registry()
    event = said("x", 1, kind="generic", raw=data)
    event.is_json = data[:1] != b"\xff"

    hear(known, event)

    device = known.devices["generic", "x"]
    assert device.messages == 1
    assert all(kind == "number" for kind in device.fields.values())


def test_who_was_heard_the_longest_ago_goes_first_and_is_counted() -> None:
    """A flood of new names must not cost more than the room there is."""
    known = registry(3)
    for at_s, name in enumerate(["a", "b", "c"]):
        hear(known, said(name, at_s, t=1))
    hear(known, said("a", 5, t=1))

    hear(known, said("d", 6, t=1), said("e", 6, t=1))

    assert [name for _, name in known.devices] == ["a", "d", "e"]
    assert known.evicted == 2
    assert list(known.news().forgotten) == [("boiler", "b"), ("boiler", "c")]


def test_memory_stays_within_its_bytes_whatever_devices_send() -> None:
    """Ever new names with many fields and large payloads: the bound is in bytes, and true to what it costs."""
    known = registry(512)
    many = {f"f{number}": number for number in range(300)}
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for at_s in range(700):
        hear(
            known,
            said(f"device-{at_s}", at_s, topic="t" * 500 + str(at_s), **(many if at_s % 3 else {"x": "y" * 9000})),
        )
        known.news()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert known.size_bytes <= 512 * 8192
    assert len(known.devices) <= 512
    assert known.changed.keys() == known.devices.keys()
    assert after - before < 1.6 * 512 * 8192


def test_the_bound_in_bytes_counts_what_is_known() -> None:
    """Booked piece by piece, and equal to what a fresh count finds."""
    known = registry(20)
    rng = random.Random(1)
    for at_s in range(300):
        hear(
            known,
            said(f"d{rng.randrange(30)}", at_s, topic=f"t{rng.randrange(4)}", x="y" * rng.randrange(2000), n=at_s),
        )

    assert known.size_bytes == sum(device.measured() for device in known.devices.values())


def test_much_that_gathers_is_booked_at_once() -> None:
    """Between two looks the events of a read stay in memory: at most a megabyte of them, or 500 addresses."""
    known = registry(10_000)

    known.take([said("big", 1, x=1)], 2 << 20)
    assert ("boiler", "big") in known.devices

    known.take([said(f"d{number}", 1, x=1) for number in range(501)], 10)
    assert len(known.devices) == 502


def test_nothing_is_decoded_in_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path costs a dictionary entry per event; JSON is read when a point is due, or somebody asks."""
    decoded: list[bytes] = []
    real = device_entry.field_values
    monkeypatch.setattr(registry_module, "field_values", lambda data, **how: decoded.append(data) or real(data, **how))
    known = registry()

    known.take([said("a", 1 + number / 1000, n=number) for number in range(700)], 10)
    assert decoded == []

    known.fold()
    assert len(decoded) == 1


def test_a_message_that_breaks_its_contract_counts_for_its_device() -> None:
    """A person looks for the device that is broken, not for the messages."""
    known = registry()
    hear(known, said("a", 1, t=1))

    known.failed("boiler", "a", "wrong_type: t is 'x', not a number", stamp(2))
    known.failed("boiler", "new", "missing: t", stamp(2))
    known.failed("boiler", "", "no_device", stamp(2))
    known.fold()

    assert (known.devices["boiler", "a"].errors, known.devices["boiler", "a"].messages) == (1, 1)
    assert known.devices["boiler", "a"].last_error == "wrong_type: t is 'x', not a number"
    assert known.devices["boiler", "new"].last is None
    assert known.unknown_errors == 1


def test_another_version_of_the_profile_begins_anew() -> None:
    """A field may have another unit now; two of them in one history would be nonsense."""
    known = registry()
    hear(known, said("a", 1, t=1, old=1))

    hear(known, said("a", 2, version=2, t=300))

    device = known.devices["boiler", "a"]
    news = known.news()
    assert news.forgotten == {("boiler", "a"): {"t": "number", "old": "number"}}  # taken back, then told anew
    assert news.grown == {("boiler", "a"): device}
    assert (device.version, device.fields, device.messages) == (2, {"t": "number"}, 2)
    assert list(device.topics["site/a"].columns["t"]) == [300.0]


def test_a_device_that_got_a_profile_is_no_longer_generic() -> None:
    """Else each device would stand there twice, the first one as if it had fallen silent."""
    known = registry()
    hear(known, said("site.a", 1, kind="generic", topic="site/a", t=1), said("other", 1, kind="generic", t=1))

    hear(known, said("a", 2, topic="site/a", t=1))

    assert list(known.devices) == [("generic", "other"), ("boiler", "a")]
    assert known.news().forgotten == {("generic", "site.a"): {"t": "number"}}


def test_a_history_thins_out_and_keeps_its_span_and_its_newest_point() -> None:
    """Forty points: the last minute at first, the last forty minutes after a while."""
    known = registry()
    spans = {}
    for at_s in range(4000):
        hear(known, said("a", at_s, t=at_s))
        if at_s in (30, 300, 3999):
            times = known.devices["boiler", "a"].topics["site/a"].times
            spans[at_s] = times[-1] - times[0]

    topic = known.devices["boiler", "a"].topics["site/a"]
    assert len(topic.times) <= POINTS
    assert list(topic.columns["t"]) == list(topic.times)
    assert 3999 - topic.times[-1] <= 60
    assert spans[30] == 30
    assert spans[300] > 150
    assert 20 * 60 <= spans[3999] <= 40 * 60


def test_a_number_that_comes_and_goes_leaves_gaps_in_its_history() -> None:
    """What was not said was not the value before."""
    known = registry()

    hear(known, said("a", 1, t=1))
    hear(known, said("a", 3, t=2, late=5))
    hear(known, said("a", 5, late=6))

    columns = known.devices["boiler", "a"].topics["site/a"].columns
    assert [str(one) for one in columns["t"]] == ["1.0", "2.0", "nan"]
    assert [str(one) for one in columns["late"]] == ["nan", "5.0", "6.0"]


def test_one_device_has_a_bounded_number_of_topics_and_fields() -> None:
    """A device with a counter in its topic is one device still."""
    known = registry()
    for at_s in range(200):
        hear(known, said("a", at_s, topic=f"a/{at_s}", **{f"f{at_s}": 1}))

    device = known.devices["boiler", "a"]
    assert len(device.topics) == 64
    assert "a/199" in device.topics
    assert len(device.fields) == 128


def test_a_forgotten_device_is_known_again_when_it_speaks() -> None:
    """`fieldgate devices forget` is for devices that are gone for good."""
    known = registry()
    hear(known, said("a", 1, t=1))

    assert known.forget([("boiler", "a"), ("boiler", "nobody")]) == 1
    assert not known.devices
    assert known.size_bytes == 0

    hear(known, said("a", 2, t=1))
    assert known.devices["boiler", "a"].messages == 1


def test_what_had_to_go_leaves_nothing_behind() -> None:
    """A flood of new names between two writes: only what is stored must be removed from the disk."""
    known = registry(3)
    hear(known, said("stored", 0, t=1))
    known.devices["boiler", "stored"].is_stored = True

    for at_s in range(1, 50):
        hear(known, said(f"d{at_s}", at_s, t=1))

    assert set(known.changed) == {*known.devices, ("boiler", "stored")}


# -- mutants: each promise broken on purpose


def count_the_ends_only(patch: Patch) -> None:
    """A read whose ends are one device's counts as all that device's."""
    real = Registry.take

    def take(self: Registry, events: list, size_bytes: int) -> None:  # type: ignore[type-arg]
        if events and events[0].address is events[-1].address:
            events = [events[0]] * len(events)
        real(self, events, size_bytes)

    patch.setattr(Registry, "take", take)


def evict_the_newest(patch: Patch) -> None:
    """What came last goes first."""

    def make_room(self: Registry) -> None:
        while len(self.devices) > self.max_devices:
            self._remove(next(reversed(self.devices.values())))
            self.evicted += 1

    patch.setattr(Registry, "_make_room", make_room)


def forget_nothing_that_was_to_be_stored(patch: Patch) -> None:
    """Each name that ever was leaves an entry behind."""
    real = Registry._remove

    def remove(self: Registry, device: Device) -> None:
        real(self, device)
        self.changed[device.key] = True

    patch.setattr(Registry, "_remove", remove)


def keep_fields_of_the_old_version(patch: Patch) -> None:
    """Numbers of two units in one history."""
    real = Registry._heard

    def heard(self: Registry, address: object, event: object, count: int) -> None:
        device = self.devices.get((address.type, address.device))  # type: ignore[attr-defined]
        if device is not None:
            device.version = address.version  # type: ignore[attr-defined]
        real(self, address, event, count)  # type: ignore[arg-type]

    patch.setattr(Registry, "_heard", heard)


def thin_out_the_newest(patch: Patch) -> None:
    """The history ends somewhere in the past."""

    def thin_out(self: Said) -> None:
        self.times = self.times[:-1]
        self.columns = {name: column[:-1] for name, column in self.columns.items()}

    patch.setattr(Said, "_thin_out", thin_out)


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[], None]]] = [
    (count_the_ends_only, test_a_read_of_one_device_counts_all_of_its_messages),
    (evict_the_newest, test_who_was_heard_the_longest_ago_goes_first_and_is_counted),
    (forget_nothing_that_was_to_be_stored, test_what_had_to_go_leaves_nothing_behind),
    (keep_fields_of_the_old_version, test_another_version_of_the_profile_begins_anew),
    (thin_out_the_newest, test_a_history_thins_out_and_keeps_its_span_and_its_newest_point),
]


@pytest.mark.parametrize(("breaks", "check"), MUTANTS, ids=lambda one: one.__name__)
def test_the_check_notices(
    breaks: Callable[[Patch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that passes whatever the code does is none."""
    breaks(monkeypatch)

    with pytest.raises(AssertionError):
        check()
