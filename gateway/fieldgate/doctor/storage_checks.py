"""Whether the journal can be written, fast enough, for as long as it is meant to grow, and for years."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from fieldgate.doctor.finding import Finding
from fieldgate.doctor.storage_facts import StorageFacts
from fieldgate.doctor.users import user_name
from fieldgate.doctor.wear import DiskWear
from fieldgate_devices.files.quantities import about_size

__all__ = ["storage_findings"]

_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_LAYERS: Final = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs", "unionfs"})
_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.glusterfs", "afs"}
)
_FAT: Final = frozenset({"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk"})
_UNSAFE: Final = frozenset({"nobarrier", "barrier=0"})
_SLOW_MS: Final = 250.0  # p95: half of the time that a commit may wait for company at most
_VERY_SLOW_MS: Final = 2_000.0
_FEW_FILES: Final = 100
_WORN_PERCENT: Final = 80
_WORN_OUT_PERCENT: Final = 100


def storage_findings(facts: StorageFacts, *, max_size_bytes: int, is_running: bool) -> Iterator[Finding]:
    """Judge the journal's folder; ``max_size_bytes`` is the bound of the configuration."""
    yield _writable(facts, is_running=is_running)
    yield _space(facts, max_size_bytes)
    if facts.free_files is not None and facts.free_files < _FEW_FILES:
        yield Finding(
            "storage.no_files_left",
            f"the file system of {facts.there} has room for {facts.free_files} more files only",
            "delete files that are not needed (df -i shows where), or the journal cannot make a new one",
            figures={"free_files": facts.free_files},
        )
    yield from _kind(facts)
    yield from _speed(facts)
    for disk in facts.wear:
        yield _wear(disk)
    if facts.filesystem_errors:
        yield Finding(
            "storage.filesystem_errors",
            f"the file system of {facts.there} has found itself damaged {facts.filesystem_errors} times",
            "back up, then have it checked: 'touch /forcefsck' and restart, or fsck from another system; if it comes "
            "back, replace the disk",
            figures={"errors": facts.filesystem_errors},
        )
    if facts.set_aside:
        yield Finding(
            "storage.set_aside",
            f"{len(facts.set_aside)} damaged file(s) of the journal were set aside: {', '.join(facts.set_aside[:3])}",
            "what could be read of them is sent; look for the cause: power cuts with a disk that lies about its cache, "
            "a worn SD card, a full disk",
            figures={"files": list(facts.set_aside)},
        )


def _writable(facts: StorageFacts, *, is_running: bool) -> Finding:
    user = user_name(os.geteuid())
    if facts.error == errno.EROFS or (facts.mount is not None and "ro" in facts.mount.options):
        where = f"the file system at {facts.mount.point}" if facts.mount is not None else str(facts.there)
        return Finding(
            "storage.read_only",
            f"{where} is mounted read-only: nothing can be stored in {facts.folder}",
            "mount it for writing ('mount -o remount,rw'); if the kernel made it read-only after an error ('dmesg | "
            "grep -i remount'), have it checked first",
        )
    if facts.error in (errno.ENOSPC, errno.EDQUOT):
        return Finding("storage.full", f"{facts.folder}: {os.strerror(facts.error).lower()}", "make room on it")
    if facts.error in (errno.EACCES, errno.EPERM):
        owner = user_name(facts.owner)
        if is_running or facts.used_bytes or owner == "fieldgate":
            return Finding(
                "storage.not_seen",
                f"{facts.there} belongs to {owner} and is not for {user}: its speed was not measured",
                f"to have it measured: sudo -u {owner} fieldgate doctor",
            )
        return Finding(
            "storage.denied",
            f"{user} may not write in {facts.there}, which belongs to {owner} (mode {facts.mode:04o})",
            f"run this as the gateway's user, or hand the folder over: chown fieldgate {facts.there}",
        )
    if facts.error:
        return Finding(
            "storage.unwritable",
            f"nothing can be written in {facts.there}: {os.strerror(facts.error).lower()}",
            "look into the kernel's log: dmesg",
        )
    if facts.is_made and facts.mode & 0o007:
        return Finding(
            "storage.open_to_everyone",
            f"{facts.folder} is open to everyone (mode {facts.mode:04o}); the files in it are not",
            f"chmod o= {facts.folder}",
        )
    made = "" if facts.is_made else f" ({facts.folder} is made at the first start)"
    return Finding("storage.writable", f"{facts.there} can be written{made}")


def _space(facts: StorageFacts, max_size_bytes: int) -> Finding:
    """The journal may still grow by its bound less what it has; the disk must hold that."""
    wanted = max(0, max_size_bytes - facts.used_bytes)
    figures = {
        "free_bytes": facts.free_bytes,
        "used_bytes": facts.used_bytes,
        "max_size_bytes": max_size_bytes,
        "total_bytes": facts.total_bytes,
    }
    seen = (
        f"{about_size(facts.free_bytes)} free of {about_size(facts.total_bytes)}; the journal has "
        f"{about_size(facts.used_bytes)} and may grow to {about_size(max_size_bytes)}"
    )
    if facts.free_bytes >= wanted:
        return Finding("storage.space", seen, figures=figures)
    fits = max(0, facts.used_bytes + int(facts.free_bytes * 0.9))
    return Finding(
        "storage.space_short",
        f"{seen}: the disk is full before the journal reaches its bound",
        f"make room, or set 'journal: {{max_size: {fits // 10**6}MB}}' so that the journal drops the oldest events by "
        "its rules instead of meeting a full disk",
        figures=figures,
    )


def _kind(facts: StorageFacts) -> Iterator[Finding]:
    mount = facts.mount
    if mount is None:
        return
    figures = {"type": mount.kind, "mount": mount.point, "source": mount.source}
    at = f"{facts.there} is on {mount.kind} ({mount.point})"
    if mount.kind in _MEMORY:
        yield Finding(
            "storage.in_memory",
            f"{at}, which is memory: every event that is not upstream is lost at the next restart of this machine",
            "put journal.path on a disk",
            figures=figures,
        )
    elif mount.kind in _LAYERS:
        yield Finding(
            "storage.in_layer",
            f"{at}: what is written there goes with the container, or with a restart where the root is protected",
            "mount a volume there, or point journal.path at a file system of its own",
            figures=figures,
        )
    elif mount.kind in _NETWORK:
        yield Finding(
            "storage.on_network",
            f"{at}, a network file system: locks and syncs are not to be relied on, and it is away with the network",
            "put journal.path on a disk of this machine",
            figures=figures,
        )
    elif mount.kind in _FAT:
        yield Finding(
            "storage.no_journal",
            f"{at}, which has no journal and no owners: a power cut can damage it, and everyone can read it",
            "put journal.path on ext4, xfs, f2fs or btrfs",
            figures=figures,
        )
    else:
        yield Finding("storage.kind", f"{at}, from {mount.source}", figures=figures)
    if unsafe := sorted(mount.options & _UNSAFE):
        yield Finding(
            "storage.no_barriers",
            f"{mount.point} is mounted with {unsafe[0]}: a power cut can take what was acknowledged",
            f"take {unsafe[0]} out of /etc/fstab and mount it again",
            figures={"option": unsafe[0]},
        )


def _speed(facts: StorageFacts) -> Iterator[Finding]:
    syncs = facts.syncs
    if syncs is None:
        return
    figures = {
        "count": syncs.count,
        "p50_ms": syncs.p50_ms,
        "p95_ms": syncs.p95_ms,
        "p99_ms": syncs.p99_ms,
        "max_ms": syncs.max_ms,
    }
    seen = (
        f"{syncs.count} writes of 4 KiB were made safe in {syncs.p50_ms:.1f} ms (median), {syncs.p95_ms:.1f} ms (95 %) "
        f"and {syncs.max_ms:.1f} ms (slowest)"
    )
    if syncs.p95_ms >= _VERY_SLOW_MS:
        yield Finding(
            "storage.sync_very_slow",
            f"{seen}: devices wait that long for an acknowledgement, and some give up before",
            "replace the disk (an SD card at its end looks like this), or find out who else writes to it: iotop -ao",
            figures=figures,
        )
    elif syncs.p95_ms >= _SLOW_MS:
        yield Finding(
            "storage.sync_slow",
            f"{seen}: acknowledgements wait for that while no uplink takes the events",
            "use a better disk (an industrial SD card, eMMC, SSD), or find out who else writes to it: iotop -ao",
            figures=figures,
        )
    else:
        yield Finding("storage.sync_fast", seen, figures=figures)


def _wear(disk: DiskWear) -> Finding:
    name = f"{disk.disk} ({disk.model})" if disk.model else disk.disk
    figures = {"disk": disk.disk, "used_percent": disk.used_percent, "reserve": disk.reserve}
    used = f"{disk.used_percent - 10} to {disk.used_percent} % of its life used" if disk.used_percent else ""
    if disk.used_percent is not None and disk.used_percent > _WORN_OUT_PERCENT:
        used = "more than all of its estimated life used"
    spare = f"its spare blocks are {_SPARE[disk.reserve]}" if disk.reserve else ""
    told = ", ".join(filter(None, (used, spare)))
    if disk.reserve == "urgent" or (disk.used_percent or 0) > _WORN_OUT_PERCENT:
        advice = "replace it now: from here on it may become read-only or lose what is written at any time"
        return Finding("storage.worn_out", f"{name}: {told}", advice, about=disk.disk, figures=figures)
    if disk.reserve == "warning" or (disk.used_percent or 0) > _WORN_PERCENT:
        advice = "plan its replacement; 'durability: relay' and a longer 'commit_delay' write less"
        return Finding("storage.worn", f"{name}: {told}", advice, about=disk.disk, figures=figures)
    if told:
        return Finding("storage.wear", f"{name}: {told}", about=disk.disk, figures=figures)
    how = {
        "mmc": "an SD card does not tell" if disk.is_card else "it does not tell",
        "nvme": "'sudo nvme smart-log' tells (percentage_used)",
        "other": "'sudo smartctl -a' may tell",
        "virtual": "it is a virtual disk",
    }[disk.kind]
    return Finding("storage.wear_unknown", f"how worn {name} is is not known: {how}", about=disk.disk, figures=figures)


_SPARE: Final = {"normal": "in order", "warning": "to 80 % used up", "urgent": "to 90 % used up"}
