"""When the time of an OS boot is known, and that this is told once (P6)."""

from __future__ import annotations

import pytest

from fieldgate.journal.records import BootRecord, RunRecord
from fieldgate.journal.times import BootClock
from fieldgate_devices.event import TimeQuality

NS = 10**9
TRUE_OFFSET = 1_800_000_000 * NS
OFFSET_OF_1970 = 0


def run(os_boot: str, offset_ns: int, *, at_s: int = 50) -> RunRecord:
    return RunRecord(1, "g", os_boot, offset_ns + at_s * NS, at_s * NS)


def clock(*, is_synced: bool, runs: list[RunRecord] | None = None, boots: list[BootRecord] | None = None) -> BootClock:
    return BootClock("now", runs=runs or [], boots=boots or [], is_synced=is_synced, offset_ns=TRUE_OFFSET)


def test_a_clock_that_is_right_from_the_start_is_nothing_to_tell() -> None:
    """A server with a battery: also over restarts, and where NTP moves it by some seconds."""
    earlier = [run("now", TRUE_OFFSET - 5 * NS)]
    for one in (clock(is_synced=True), clock(is_synced=True, runs=earlier, boots=[BootRecord("now", None, 1)])):
        assert one.quality == TimeQuality.SYNCED
        assert [one.look(is_synced=True) for _ in range(3)] == [None, None, None]


def test_the_moment_in_which_the_time_becomes_known_is_seen_once() -> None:
    """A Pi that has booted in 1970."""
    one = clock(is_synced=False)

    looks = [one.look(is_synced=is_synced) for is_synced in (False, False, True, True)]

    assert looks == [None, None, "known", None]
    assert not one.is_told


def test_a_time_that_is_lost_again_is_not_believed_until_it_is_back() -> None:
    """FAULTS 51: ten years back."""
    one = clock(is_synced=True)

    looks = [one.look(is_synced=is_synced) for is_synced in (True, False, False, True)]

    assert looks == [None, "lost", None, "known"]


@pytest.mark.parametrize(
    ("runs", "boots", "is_owed"),
    [
        ([run("now", OFFSET_OF_1970)], [BootRecord("now", None, 1)], True),
        ([run("now", OFFSET_OF_1970)], [BootRecord("now", TRUE_OFFSET, 0)], False),
        ([run("now", OFFSET_OF_1970), run("now", TRUE_OFFSET)], [BootRecord("now", None, 1)], True),
        ([run("before", OFFSET_OF_1970)], [BootRecord("before", None, 1), BootRecord("now", None, 1)], False),
    ],
)
def test_what_a_crash_kept_from_being_told_is_told_at_the_next_start(
    runs: list[RunRecord], boots: list[BootRecord], is_owed: bool
) -> None:
    """kill -9 between the step of the clock and the commit: without it events of that boot could never be put right."""
    one = clock(is_synced=True, runs=runs, boots=boots)

    assert (one.look(is_synced=True) == "known") is is_owed
    assert one.look(is_synced=True) is None


@pytest.mark.parametrize(
    ("runs", "boots", "never_knew"),
    [
        ([], [BootRecord("now", None, 1)], False),
        ([run("before", OFFSET_OF_1970)], [BootRecord("before", None, 1), BootRecord("now", None, 1)], True),
        ([run("before", OFFSET_OF_1970)], [BootRecord("before", TRUE_OFFSET, 0), BootRecord("now", None, 1)], False),
        ([run("before", OFFSET_OF_1970), run("now", OFFSET_OF_1970)], [BootRecord("before", None, 1)], False),
    ],
)
def test_only_what_a_boot_left_that_never_knew_the_time_is_estimated_and_only_at_the_next_boot(
    runs: list[RunRecord], boots: list[BootRecord], never_knew: bool
) -> None:
    """A boot that did learn the time has its offset; a guess in its place would be worse."""
    assert clock(is_synced=False, runs=runs, boots=boots).last_boot_never_knew is never_knew
