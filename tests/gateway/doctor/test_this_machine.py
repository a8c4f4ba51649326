"""Clock, versions, memory and open files: what is read of this machine, and what is made of it.

What this machine cannot have (a worn eMMC, a battery that is empty) is read from files laid out as the kernel does.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from doctor_kit import bad, by_id, ids
from fieldgate import clock, journal
from fieldgate.doctor.clock_checks import clock_findings
from fieldgate.doctor.clock_facts import ClockFacts, read_clock
from fieldgate.doctor.machine_checks import machine_findings
from fieldgate.doctor.machine_facts import MachineFacts, read_machine
from fieldgate.doctor.software_checks import SoftwareFacts, read_software, software_findings
from fieldgate.doctor.sqlite_bugs import BUGS, bugs_of

EARLIEST_S = clock.EARLIEST_PLAUSIBLE_NS / 1e9
NOW_S = datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()
GOOD = ClockFacts(NOW_S, True, 0.01, "chronyd", None, "rtc-ds3231", NOW_S + 1)


def clock_ids(facts: ClockFacts) -> list[str]:
    return ids(clock_findings(facts, earliest_s=EARLIEST_S))


# -- clock ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, ["clock.synced", "clock.rtc_right"]),
        ({"wall_s": 0.0, "rtc_s": 1.0}, ["clock.before_build", "clock.rtc_right"]),
        ({"wall_s": 4e9, "rtc_s": 4e9}, ["clock.far_future", "clock.rtc_right"]),
        ({"is_kernel_synced": False}, ["clock.not_synced", "clock.rtc_right"]),
        ({"is_kernel_synced": False, "daemon": ""}, ["clock.no_ntp", "clock.rtc_right"]),
        ({"is_kernel_synced": None, "daemon": ""}, ["clock.unknown", "clock.rtc_right"]),
        ({"rtc": "", "rtc_s": None}, ["clock.synced", "clock.no_rtc"]),
        ({"rtc_s": None}, ["clock.synced", "clock.rtc_unreadable"]),
        ({"rtc_s": NOW_S - 3600}, ["clock.synced", "clock.rtc_off"]),
    ],
)
def test_each_state_of_the_clock_has_its_finding(change: dict[str, Any], found: list[str]) -> None:
    """The first is the control: all is well."""
    assert clock_ids(replace(GOOD, **change)) == found


def test_the_clock_of_this_machine_is_read() -> None:
    """The kernel's answer is taken from the right places of its struct: what it says is possible."""
    facts = read_clock()

    assert abs(facts.wall_s - clock.wall_ns() / 1e9) < 60
    assert facts.is_kernel_synced in (True, False, None)
    assert facts.error_s is None or 0 <= facts.error_s <= 2**31 / 1e6


def test_a_battery_clock_and_a_time_daemon_are_found(tmp_path: Path) -> None:
    """As the kernel shows them; the name of a process is cut after 15 characters there."""
    rtc, process, flag = tmp_path / "sys/class/rtc/rtc0", tmp_path / "proc/17", tmp_path / "run/systemd/timesync"
    for folder in (rtc, process, flag):
        folder.mkdir(parents=True)
    (rtc / "name").write_text("rtc-ds3231 1-0068\n")
    (rtc / "since_epoch").write_text("1780315200\n")
    (process / "comm").write_text("systemd-timesyn\n")

    facts = read_clock(tmp_path)
    (rtc / "since_epoch").unlink()
    unreadable = read_clock(tmp_path)

    assert (facts.rtc, facts.rtc_s) == ("rtc-ds3231 1-0068", 1780315200.0)
    assert (facts.daemon, facts.has_timesync_flag) == ("systemd-timesyncd", False)
    assert (unreadable.rtc, unreadable.rtc_s) == ("rtc-ds3231 1-0068", None)


# -- versions ---------------------------------------------------------------------------------------------------

SOUND = SoftwareFacts((3, 12, 4), (3, 51, 3), (3, 0, 0), "OpenSSL 3.0.15", has_uvloop=True)


@pytest.mark.parametrize(
    ("change", "wall_s", "found"),
    [
        ({}, NOW_S, []),
        ({"python": (3, 10, 2)}, NOW_S, ["software.python_old"]),
        ({}, datetime(2029, 1, 1, tzinfo=UTC).timestamp(), ["software.python_ended"]),
        ({"openssl": (1, 1, 1), "openssl_text": "OpenSSL 1.1.1w"}, NOW_S, ["software.openssl_old"]),
        ({"sqlite": (3, 31, 1)}, NOW_S, ["software.sqlite_old"]),
        ({"sqlite": (3, 52, 0)}, NOW_S, ["software.sqlite_bug"]),
    ],
)
def test_each_version_that_should_not_stay_is_said(change: dict[str, Any], wall_s: float, found: list[str]) -> None:
    """The first is the control."""
    assert bad(software_findings(replace(SOUND, **change), wall_s=wall_s)) == found


def test_versions_in_order_are_shown() -> None:
    shown = ids(software_findings(SOUND, wall_s=NOW_S))
    without_uvloop = ids(software_findings(replace(SOUND, has_uvloop=False), wall_s=NOW_S))

    assert shown == ["software.python", "software.sqlite", "software.openssl"]
    assert without_uvloop == [*shown, "software.no_uvloop"]


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ((3, 40, 1), ["WAL reset"]),  # Debian 12
        ((3, 46, 1), ["WAL reset"]),  # Debian 13
        ((3, 51, 2), ["WAL reset"]),
        ((3, 51, 3), []),
        ((3, 50, 7), []),
        ((3, 50, 6), ["WAL reset"]),
        ((3, 44, 6), []),
        ((3, 44, 5), ["WAL reset"]),
        ((3, 45, 9), ["WAL reset"]),
        ((3, 52, 0), ["withdrawn release"]),
        ((3, 53, 0), []),
        ((3, 37, 1), ["WAL reset", "ROLLBACK TO with journals in memory"]),
        ((3, 37, 2), ["WAL reset"]),
    ],
)
def test_the_bugs_of_an_sqlite_are_known_with_their_backports(version: tuple[int, int, int], names: list[str]) -> None:
    """The dates and numbers are those that SQLite has published."""
    assert [bug.name for bug in bugs_of(version)] == names


def test_a_bug_that_fieldgate_cannot_meet_is_a_note_that_says_why() -> None:
    """On Debian 12 nobody can do anything about it, and nobody need."""
    found = list(software_findings(replace(SOUND, sqlite=(3, 40, 1)), wall_s=NOW_S))

    assert bad(found) == []
    assert "holds it exclusively" in by_id(found, "software.sqlite_bug_unmet").seen


def test_fieldgate_uses_no_savepoints_and_opens_files_exclusively() -> None:
    """What the list of bugs rests on."""
    sources = {path.name: path.read_text() for path in Path(journal.__file__).parent.glob("*.py")}

    assert not [name for name, text in sources.items() if "SAVEPOINT" in text.upper().replace("SAVEPOINTS", "")]
    opened = {name for name, text in sources.items() if "journal_mode=WAL" in text}
    assert {name for name in opened if "locking_mode=EXCLUSIVE" not in sources[name]} == set()
    assert all(bug.first <= bug.last < bug.fixed for bug in BUGS)


def test_what_runs_here_is_read() -> None:
    facts = read_software()

    assert facts.python >= (3, 11, 0)
    assert facts.sqlite > (3, 0, 0)
    assert facts.openssl_text.startswith(("OpenSSL", "LibreSSL", "AWS-LC"))


# -- memory, files, processor -----------------------------------------------------------------------------------

ROOMY = MachineFacts(1, 8 << 30, 4 << 30, 128 << 20, 60 << 20, 0, 1.0, 65_536, 20)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"memory_limit_bytes": 64 << 20}, ["machine.memory_limit_low"]),
        ({"memory_used_bytes": 125 << 20}, ["machine.memory_nearly_used"]),
        ({"memory_available_bytes": 10 << 20}, ["machine.memory_short"]),
        ({"oom_kills": 2}, ["machine.out_of_memory"]),
        ({"open_files_limit": 1024}, ["machine.open_files_low"]),
        ({"cpus": 0.1}, ["machine.little_cpu"]),
    ],
)
def test_each_bound_that_is_too_tight_is_said(change: dict[str, Any], found: list[str]) -> None:
    """The first is the control: what the service file sets."""
    assert bad(machine_findings(replace(ROOMY, **change), clients=1000, whose="the gateway")) == found


def test_bounds_in_order_are_shown() -> None:
    assert ids(machine_findings(ROOMY, clients=1000, whose="it")) == ["machine.memory", "machine.open_files"]


def test_the_bounds_of_this_process_are_read() -> None:
    import resource

    facts = read_machine(os.getpid())

    assert facts.open_files_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert facts.open_files is not None
    assert facts.open_files > 2
    assert facts.memory_total_bytes is None or facts.memory_total_bytes > 1 << 20


def test_the_tightest_of_the_control_groups_counts(tmp_path: Path) -> None:
    """systemd bounds a slice, Kubernetes a pod: the process's own group has none then."""
    process, slice_ = tmp_path / "proc/7", tmp_path / "sys/fs/cgroup/system.slice"
    own = slice_ / "fieldgate.service"
    process.mkdir(parents=True)
    own.mkdir(parents=True)
    (process / "cgroup").write_text("0::/system.slice/fieldgate.service\n")
    (own / "memory.max").write_text("max\n")
    (own / "memory.current").write_text("1000\n")
    (own / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    (own / "cpu.max").write_text("25000 100000\n")
    (slice_ / "memory.max").write_text("134217728\n")

    facts = read_machine(7, tmp_path)

    assert (facts.memory_limit_bytes, facts.memory_used_bytes, facts.oom_kills) == (134_217_728, 1000, 2)
    assert facts.cpus == 0.25
