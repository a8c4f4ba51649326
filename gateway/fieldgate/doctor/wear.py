"""How worn the flash under a folder is, as far as the kernel says without asking the device as root."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fieldgate.doctor.mounts import disks_of

__all__ = ["DiskWear", "read_wear"]

_LIFE_STEPS: Final = range(1, 12)  # JESD84-B51, 7.4.29: steps of 10 %; 11: beyond what was estimated


@dataclass(frozen=True, slots=True)
class DiskWear:
    """``used_percent`` is the upper end of the step that the device gives; ``reserve``: of its spare blocks.

    ``kind``: mmc, nvme, sd (SATA, USB) and so on.
    """

    disk: str
    model: str
    kind: Literal["mmc", "nvme", "other", "virtual"]
    is_card: bool = False
    used_percent: int | None = None
    reserve: Literal["normal", "warning", "urgent"] | None = None


def read_wear(device: str, *, system: Path = Path("/sys")) -> list[DiskWear]:
    """Return what is told of the disks behind the file system of ``device`` (MAJOR:MINOR)."""
    return [_wear(folder) for folder in disks_of(device, system=system)]


def _wear(folder: Path) -> DiskWear:
    name, below = folder.name, folder / "device"
    model = _text(below / "name") if name.startswith("mmcblk") else _text(below / "model")
    if name.startswith("mmcblk"):
        steps = [int(step, 16) for step in _text(below / "life_time").split() if _is_hex(step)]
        known = [step for step in steps if step in _LIFE_STEPS]
        reserve = {"0x01": "normal", "0x02": "warning", "0x03": "urgent"}.get(_text(below / "pre_eol_info"))
        return DiskWear(
            name, model, "mmc",
            is_card=_text(below / "type") == "SD",
            used_percent=max(known) * 10 if known else None,
            reserve=reserve,  # type: ignore[arg-type]  # the values of the table above
        )  # fmt: skip
    if name.startswith("nvme"):
        return DiskWear(name, model, "nvme")
    return DiskWear(name, model, "other" if below.exists() and not name.startswith("vd") else "virtual")


def _is_hex(text: str) -> bool:
    with suppress(ValueError):
        return int(text, 16) >= 0
    return False


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip()
    return ""
