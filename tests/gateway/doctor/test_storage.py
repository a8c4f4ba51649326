"""The journal's folder: real folders and file systems; flash that is worn, from files as the kernel shows it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doctor_kit import bad, by_id, ids
from fieldgate.doctor.mounts import Mount, mount_of
from fieldgate.doctor.storage_checks import storage_findings
from fieldgate.doctor.storage_facts import StorageFacts, read_storage
from fieldgate.doctor.sync_speed import SyncTimes, measure_syncs
from fieldgate.doctor.wear import DiskWear, read_wear
from mount_kit import mounted, private_mounts

GIB = 1 << 30
GOOD = StorageFacts(
    folder=Path("/var/lib/fieldgate"),
    there=Path("/var/lib/fieldgate"),
    error=0,
    mode=0o750,
    owner=0,
    mount=Mount("/", "ext4", "8:1", "/dev/sda1", frozenset({"rw", "relatime"})),
    free_bytes=20 * GIB,
    total_bytes=30 * GIB,
    free_files=100_000,
    used_bytes=0,
    set_aside=(),
    syncs=SyncTimes(100, 1.0, 2.0, 3.0, 4.0),
    wear=(DiskWear("mmcblk0", "DG4016", "mmc", used_percent=20, reserve="normal"),),
    filesystem_errors=0,
)


def judged(facts: StorageFacts, *, is_running: bool = False) -> list[Any]:
    return list(storage_findings(facts, max_size_bytes=2 * GIB, is_running=is_running))


def on(kind: str, *options: str) -> Mount:
    return Mount("/data", kind, "0:40", "source", frozenset(options or ("rw",)))


def test_storage_in_order_has_no_bad_finding() -> None:
    """The control of everything below."""
    well = ["storage.writable", "storage.space", "storage.kind", "storage.sync_fast", "storage.wear"]

    assert ids(judged(GOOD)) == well


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"error": errno.EROFS}, "storage.read_only"),
        ({"error": errno.ENOSPC}, "storage.full"),
        ({"error": errno.EACCES, "owner": 12345}, "storage.denied"),
        ({"error": errno.EIO}, "storage.unwritable"),
        ({"mode": 0o755}, "storage.open_to_everyone"),
        ({"free_bytes": GIB}, "storage.space_short"),
        ({"free_files": 3}, "storage.no_files_left"),
        ({"mount": on("tmpfs")}, "storage.in_memory"),
        ({"mount": on("overlay")}, "storage.in_layer"),
        ({"mount": on("nfs4")}, "storage.on_network"),
        ({"mount": on("vfat")}, "storage.no_journal"),
        ({"mount": on("ext4", "rw", "nobarrier")}, "storage.no_barriers"),
        ({"syncs": SyncTimes(100, 100.0, 300.0, 900.0, 950.0)}, "storage.sync_slow"),
        ({"syncs": SyncTimes(5, 1000.0, 3000.0, 3000.0, 3000.0)}, "storage.sync_very_slow"),
        ({"wear": (DiskWear("mmcblk0", "", "mmc", used_percent=90, reserve="normal"),)}, "storage.worn"),
        ({"wear": (DiskWear("mmcblk0", "", "mmc", used_percent=20, reserve="warning"),)}, "storage.worn"),
        ({"wear": (DiskWear("mmcblk0", "", "mmc", used_percent=110, reserve="normal"),)}, "storage.worn_out"),
        ({"wear": (DiskWear("mmcblk0", "", "mmc", used_percent=20, reserve="urgent"),)}, "storage.worn_out"),
        ({"filesystem_errors": 2}, "storage.filesystem_errors"),
        ({"set_aside": ("journal-000001.db.damaged-1",)}, "storage.set_aside"),
    ],
)
def test_each_thing_that_is_wrong_has_its_one_finding(change: dict[str, Any], found: str) -> None:
    assert bad(judged(replace(GOOD, **change))) == [found]


def test_a_journal_that_has_used_its_room_already_needs_no_more(tmp_path: Path) -> None:
    """Free space counts against what may still be written, not against the whole bound."""
    assert bad(judged(replace(GOOD, free_bytes=GIB, used_bytes=2 * GIB))) == []


def test_what_only_the_gateways_user_may_see_is_a_note() -> None:
    """Whoever installs a gateway is not its user."""
    assert ids(judged(replace(GOOD, error=errno.EACCES, syncs=None), is_running=True))[0] == "storage.not_seen"


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        (DiskWear("mmcblk0", "SD64G", "mmc", is_card=True), "an SD card does not tell"),
        (DiskWear("nvme0n1", "", "nvme"), "nvme smart-log"),
        (DiskWear("sda", "", "other"), "smartctl"),
        (DiskWear("vda", "", "virtual"), "virtual disk"),
    ],
)
def test_wear_that_is_not_told_is_a_note_that_says_who_tells(disk: DiskWear, words: str) -> None:
    assert words in by_id(judged(replace(GOOD, wear=(disk,))), "storage.wear_unknown").seen


def test_a_real_folder_is_read_and_nothing_stays_in_it(tmp_path: Path) -> None:
    (tmp_path / "journal-000001.db").write_bytes(b"x" * 1000)
    (tmp_path / "journal-000001.db.damaged-1").write_bytes(b"x")
    (tmp_path / "journal-000001.db.damaged-1-wal").write_bytes(b"x")

    facts = read_storage(tmp_path)

    assert facts.is_made
    assert (facts.error, facts.used_bytes) == (0, 1002)
    assert facts.set_aside == ("journal-000001.db.damaged-1",)
    assert facts.mount is not None
    assert facts.syncs is not None
    assert 0 <= facts.syncs.p50_ms <= facts.syncs.p95_ms <= facts.syncs.p99_ms <= facts.syncs.max_ms
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_is_not_made_yet_is_looked_at_where_it_will_be(tmp_path: Path) -> None:
    facts = read_storage(tmp_path / "a" / "b")

    assert not facts.is_made
    assert facts.there == tmp_path
    assert not (tmp_path / "a").exists()
    assert "is made at the first start" in judged(facts)[0].seen


def test_a_slow_disk_is_not_measured_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worn SD card takes a second for each; a clock that stands still would let it go on."""
    ticks: Iterator[int] = iter(range(0, 10**15, 10**9))
    monkeypatch.setattr("fieldgate.clock.boot_ns", lambda: next(ticks))

    times = measure_syncs(tmp_path, count=100, most_s=20.0)

    assert times.count < 15
    assert times.p50_ms == 1000.0


def test_the_mount_of_a_folder_is_the_one_the_system_has() -> None:
    assert mount_of(Path("/proc")).kind == "proc"
    assert mount_of(Path("/sys")).kind == "sysfs"


def eMMC(system: Path) -> None:  # noqa: N802 - its name
    """/dev/mmcblk0p2 below a mapped device 254:0, as LUKS makes it."""
    disk = system / "devices/platform/mmc0/block/mmcblk0"
    (disk / "mmcblk0p2").mkdir(parents=True)
    (disk / "mmcblk0p2/partition").write_text("2\n")
    (disk / "device").mkdir()
    for name, text in (("life_time", "0x09 0x03"), ("pre_eol_info", "0x02"), ("name", "DG4016"), ("type", "MMC")):
        (disk / "device" / name).write_text(text + "\n")
    mapped = system / "devices/virtual/block/dm-0"
    (mapped / "slaves").mkdir(parents=True)
    (mapped / "slaves/mmcblk0p2").symlink_to(disk / "mmcblk0p2")
    (system / "dev/block").mkdir(parents=True)
    (system / "dev/block/254:0").symlink_to(mapped)


def test_the_wear_of_an_emmc_is_found_below_encryption_and_partition(tmp_path: Path) -> None:
    """JESD84-B51, 7.4.29: 0x09 is 80 to 90 % of its life, of the worse of both kinds of cells."""
    eMMC(tmp_path)

    (disk,) = read_wear("254:0", system=tmp_path)

    assert disk == DiskWear("mmcblk0", "DG4016", "mmc", used_percent=90, reserve="warning")
    assert read_wear("1:1", system=tmp_path) == []


def test_a_file_system_in_memory_is_found() -> None:
    """/dev/shm is one on every Linux."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or (mount := mount_of(shm)) is None or mount.kind != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")

    assert "storage.in_memory" in bad(judged(read_storage(shm / f"fieldgate-doctor-{os.getpid()}")))


# -- as root ----------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_a_read_only_mount_is_found_as_root(tmp_path: Path) -> None:
    """Root may write everywhere, but not there."""
    with private_mounts(), mounted("tmpfs", tmp_path / "ro", options="size=1m,ro") as folder:
        found = bad(judged(read_storage(folder)))

    assert "storage.read_only" in found


@pytest.mark.root
def test_a_full_disk_and_one_without_room_for_files_are_found(tmp_path: Path) -> None:
    with private_mounts(), mounted("tmpfs", tmp_path / "small", options="size=64k,nr_inodes=60") as folder:
        short = bad(judged(read_storage(folder)))
        (folder / "filler").write_bytes(b"x" * 65_536)
        full = bad(judged(read_storage(folder)))

    assert {"storage.space_short", "storage.no_files_left", "storage.in_memory"} <= set(short)
    assert "storage.full" in full


@pytest.mark.root
def test_a_layer_of_a_container_is_found(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    with private_mounts(), mounted("overlay", tmp_path / "merged", options=options) as folder:
        found = bad(judged(read_storage(folder)))

    assert "storage.in_layer" in found


def test_the_mode_of_a_real_folder_counts(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_folder = bad(judged(read_storage(tmp_path)))
    tmp_path.chmod(0o750)
    closed = read_storage(tmp_path)

    assert "storage.open_to_everyone" in open_folder
    assert "storage.open_to_everyone" not in bad(judged(closed))
    assert closed.mode == stat.S_IMODE(tmp_path.stat().st_mode)
