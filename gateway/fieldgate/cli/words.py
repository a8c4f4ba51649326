"""Numbers and bytes as people read them."""

from __future__ import annotations

from typing import Final

from fieldgate_devices.files.quantities import about_size as size

__all__ = ["STATE", "age", "count", "counts", "dump", "safe", "size", "uptime"]

STATE: Final = {
    "connected": "connected",
    "ready": "ready",
    "connecting": "NOT CONNECTED, connecting",
    "backoff": "NOT CONNECTED, tries again",
    "refused": "REFUSED, a person must mend this; tried again",
}
_SHOWN_BYTES: Final = 4096
_BYTES_A_LINE: Final = 16


def count(number: int, noun: str) -> str:
    """``1 event``, ``1,200 events``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def counts(counts: dict[str, int]) -> str:
    """``full 2, not allowed 1``: numbers by their reasons."""
    return ", ".join(f"{reason.replace('_', ' ')} {number:,}" for reason, number in sorted(counts.items()))


def age(seconds: float) -> str:
    """One unit, and never more exact than matters: ``0.4 s``, ``12 s``, ``5 min``, ``3 h``, ``9 d``. Never too much."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s:.0f} {unit}"
    return f"{int(seconds)} s"


def uptime(seconds: float) -> str:
    """``01:02:03``, ``4d 01:02:03``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}d {clock}" if days else clock


def safe(text: str, *, keep: str = "") -> str:
    """Nothing in it moves the cursor, changes the direction of writing or rings the bell."""
    return "".join(
        char if char in keep or char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def dump(payload: bytes) -> str:
    """Text where it is text, else a dump of its first bytes."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        pass
    else:
        if all(char.isprintable() or char in "\r\n\t" for char in text):
            return safe(text, keep="\n\t")
    lines = []
    for at in range(0, min(len(payload), _SHOWN_BYTES), _BYTES_A_LINE):
        part = payload[at : at + _BYTES_A_LINE]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{at:06x}  {part.hex(' '):<{3 * _BYTES_A_LINE}} {shown}")
    if len(payload) > _SHOWN_BYTES:
        lines.append(f"… {len(payload) - _SHOWN_BYTES:,} bytes more (--json has all of it)")
    return "\n".join(lines)
