"""Silence: told once, by boot time, and never of what nobody could have heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from device_kit import BOOT, hear, registry, said
from fieldgate.ingest.device_entry import Device
from fieldgate.ingest.registry import Registry
from fieldgate.ingest.silence import Silence

Patch = pytest.MonkeyPatch


def watch(now_s: float = 0.0, **after_s: float) -> Silence:
    silence = Silence(os_boot=BOOT, now_s=now_s)
    silence.use(after_s or {"boiler": 60.0})
    return silence


def look(silence: Silence, known: Registry, *times_s: float) -> list[tuple[float, str]]:
    """What is told at which moment, second by second."""
    told = []
    for now_s in times_s:
        known.fold()
        for device in silence.fallen(known.devices.values(), now_s, arrivals=known.arrivals):
            known.mark_silent(device)
            told.append((now_s, device.name))
    return told


def seconds(first: int, last: int) -> list[float]:
    return [float(at_s) for at_s in range(first, last)]


def test_a_device_is_silent_once_when_its_time_is_over() -> None:
    """Not before, not later, not again."""
    known, silence = registry(), watch()
    hear(known, said("a", 5, t=1), said("p", 5, kind="pump", t=1), said("b", 30, t=1))

    assert look(silence, known, *seconds(5, 300)) == [(65.0, "a"), (90.0, "b")]


def test_a_device_that_speaks_is_never_silent() -> None:
    """Each message begins the time anew."""
    known, silence = registry(), watch()
    told = []
    for at_s in range(0, 300, 50):
        hear(known, said("a", at_s, t=1))
        told += look(silence, known, *seconds(at_s, at_s + 50))

    assert told == []


def test_silent_again_after_it_was_back() -> None:
    """Every silence is one of its own, with the moment it began."""
    known, silence = registry(), watch()
    hear(known, said("a", 0, t=1))
    first = look(silence, known, *seconds(0, 100))

    hear(known, said("a", 100, t=2))
    ((device, before, _),) = known.news().back
    second = look(silence, known, *seconds(100, 200))

    assert (first, second) == ([(60.0, "a")], [(160.0, "a")])
    assert before is not None
    assert (device.name, before.boot_ns) == ("a", 0)


def test_nobody_is_silent_before_the_gateway_has_listened_as_long() -> None:
    """After a restart everybody was last heard before it: that is the gateway's silence, not theirs."""
    known = registry()
    hear(known, said("a", 5, t=1))

    started = watch(now_s=1000.0)

    assert look(started, known, *seconds(1000, 1200)) == [(1060.0, "a")]


def test_a_silence_that_was_told_is_not_told_again_after_a_restart() -> None:
    """Whoever was told waits for `back`; another alarm at each restart would teach to ignore them."""
    known = registry()
    hear(known, said("a", 5, t=1))
    known.mark_silent(known.devices["boiler", "a"])

    assert look(watch(now_s=1000.0), known, *seconds(1000, 1200)) == []

    hear(known, said("a", 1200, t=1))
    assert [device.name for device, *_ in known.news().back] == ["a"]


def test_after_a_reboot_the_old_boot_time_means_nothing() -> None:
    """A message at second 500 of the last boot is no message of the future."""
    known = registry()
    hear(known, said("a", 500, t=1))
    known.devices["boiler", "a"].last_boot = "another boot"

    assert look(watch(now_s=10.0), known, *seconds(10, 100)) == [(70.0, "a")]


def test_a_pause_of_the_whole_machine_is_no_silence_of_its_devices() -> None:
    """A laptop that slept wakes up to devices that are well; they get their time to say so."""
    known, silence = registry(), watch()
    hear(known, said("a", 0, t=1))
    told = look(silence, known, *seconds(0, 10))

    told += look(silence, known, *seconds(5000, 5200))

    assert told == [(5060.0, "a")]


def test_a_device_that_is_new_is_watched_from_its_first_message() -> None:
    """The next look that is due is that of the others; a short `silent_after` must not wait for it."""
    known, silence = registry(), watch(boiler=1000.0, pump=10.0)
    hear(known, said("a", 0, t=1))
    told = look(silence, known, *seconds(0, 20))

    hear(known, said("p", 20, kind="pump", t=1))
    told += look(silence, known, *seconds(20, 50))

    assert told == [(30.0, "p")]


def test_a_profile_that_is_changed_counts_at_once() -> None:
    """Hot reload: the new `silent_after` holds for whoever is known already."""
    known, silence = registry(), watch(boiler=1000.0)
    hear(known, said("a", 0, t=1))
    told = look(silence, known, *seconds(0, 20))

    silence.use({"boiler": 30.0})
    told += look(silence, known, *seconds(20, 50))

    assert told == [(30.0, "a")]
    assert silence.after_s("boiler") == 30.0
    assert silence.after_s("pump") is None


# -- mutants: each promise broken on purpose


def count_from_the_last_message_alone(patch: Patch) -> None:
    """The gateway's own absence counts as its devices' silence."""

    def heard_s(self: Silence, device: Device) -> float:
        del self
        return device.last.boot_ns / 1e9 if device.last is not None else 0.0

    patch.setattr(Silence, "_heard_s", heard_s)


def tell_again(patch: Patch) -> None:
    """Whoever is silent is told at each look."""
    patch.setattr(Registry, "mark_silent", lambda self, device: self.changed.setdefault(device.key, True))


def sleep_counts(patch: Patch) -> None:
    """A pause of the machine is taken for time in which devices could be heard."""
    patch.setattr("fieldgate.ingest.silence._PAUSE_S", float("inf"))


def ignore_arrivals(patch: Patch) -> None:
    """The next look is when it was due for those known before."""
    real = Silence.fallen

    def fallen(self: Silence, devices: Iterable[Device], now_s: float, *, arrivals: int) -> list[Device]:
        del arrivals
        return real(self, devices, now_s, arrivals=0)

    patch.setattr(Silence, "fallen", fallen)


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[], None]]] = [
    (count_from_the_last_message_alone, test_nobody_is_silent_before_the_gateway_has_listened_as_long),
    (count_from_the_last_message_alone, test_after_a_reboot_the_old_boot_time_means_nothing),
    (tell_again, test_a_device_is_silent_once_when_its_time_is_over),
    (sleep_counts, test_a_pause_of_the_whole_machine_is_no_silence_of_its_devices),
    (ignore_arrivals, test_a_device_that_is_new_is_watched_from_its_first_message),
]


@pytest.mark.parametrize(("breaks", "check"), MUTANTS, ids=lambda one: one.__name__)
def test_the_check_notices(
    breaks: Callable[[Patch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that passes whatever the code does is none."""
    breaks(monkeypatch)

    with pytest.raises(AssertionError):
        check()
