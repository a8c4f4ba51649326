"""What a port seems to speak, from some of the bytes that were heard on it.

Framings with a check of their own say so beyond doubt; those without one (lines, SLIP, COBS, STX … ETX) are believed
where all that was heard fits, and the more so where a usual check fits every frame. Pure, and done in time that follows
from the bytes alone: at most `MAX_BYTES` are looked at, once for each framing and check.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fieldgate_devices.framing.checks import Check, CheckSpec
from fieldgate_devices.framing.make import make_framer
from fieldgate_devices.infer_decoders import guess_decoder

__all__ = ["MAX_BYTES", "Guess", "guess"]

MAX_BYTES: Final = 65_536
_FEW: Final = 3  # frames without a check of their own that may look right by chance
_SHOWN: Final = 40
_READ: Final = 50  # payloads that are given to decoders
_LATER: Final = 1e9

_CHECKS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("CRC-32, high byte first", {"crc": "CRC-32/ISO-HDLC"}),
    ("CRC-32, low byte first", {"crc": "CRC-32/ISO-HDLC", "order": "little"}),
    ("CRC-16/MODBUS, low byte first", {"crc": "CRC-16/MODBUS", "order": "little"}),
    ("CRC-16/X-25, low byte first", {"crc": "CRC-16/X-25", "order": "little"}),
    ("CRC-16/XMODEM", {"crc": "CRC-16/XMODEM"}),
    ("CRC-16/CCITT-FALSE", {"crc": "CRC-16/IBM-3740"}),
    ("CRC-8", {"crc": "CRC-8/SMBUS"}),
    ("the sum of all bytes", {"sum": "sum8"}),
    ("the inverted sum of all bytes", {"sum": "inv8"}),
    ("what makes the sum 0", {"sum": "lrc8"}),
    ("the exclusive or of all bytes", {"sum": "xor8"}),
)


@dataclass(frozen=True, slots=True)
class Guess:
    """One framing that fits. ``share`` is that of the bytes that stand in intact frames; ``says`` is for a person.

    ``decoder`` is the name of one that reads the payloads, if any does. ``is_sure``: a check has said so.
    """

    framing: str
    options: Mapping[str, Any]
    frames: int
    share: float
    says: str
    decoder: str | None
    is_sure: bool


@dataclass(frozen=True, slots=True)
class _Trial:
    """What a framing made of what was heard."""

    framing: str
    options: dict[str, Any]
    payloads: list[bytes]
    wrong: int
    share: float


def guess(heard: bytes) -> list[Guess]:
    """Return the framings that fit, the likeliest first; none where it is noise, as at a wrong baud rate."""
    heard = heard[-MAX_BYTES:]
    found = [one for one in (*_checked(heard), *_flagged(heard), *_lines(heard)) if one is not None]
    return sorted(found, key=lambda one: (one.is_sure, one.share, one.frames), reverse=True)


def _tried(heard: bytes, framing: str, options: dict[str, Any]) -> _Trial:
    framer = make_framer(framing, options)
    frames = [*framer.feed_bytes(heard, 0.0), *framer.tick(_LATER)]
    payloads = [frame.payload for frame in frames if not frame.fault]
    wrong = sum(frame.fault not in {"", "unfinished"} for frame in frames)
    lost = sum(len(frame.payload) for frame in frames if frame.fault) + framer.skipped_bytes
    return _Trial(framing, options, payloads, wrong, (len(heard) - lost) / len(heard) if payloads else 0.0)


def _checked(heard: bytes) -> Iterator[Guess | None]:
    """Framings that verify what they take."""
    if not heard:
        return
    mixed = _tried(heard, "gnss", {"checksum": "required"})
    kinds = Counter("UBX" if one[0] == 0xB5 else "RTCM 3" if one[0] == 0xD3 else "NMEA 0183" for one in mixed.payloads)
    if len(kinds) > 1:
        listed = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common())
        yield Guess("gnss", {}, len(mixed.payloads), mixed.share, f"GNSS: {listed}, {_sums(mixed)}", None, True)
    elif "RTCM 3" in kinds:
        yield _sure(mixed, "RTCM 3", "messages", None)
    yield _sure(_tried(heard, "nmea", {}), "NMEA 0183", "sentences", "nmea")
    yield _sure(_tried(heard, "ubx", {}), "UBX", "messages", None)
    yield _sure(_tried(heard, "dsmr", {}), "DSMR/P1", "telegrams", "dsmr")
    for options in ({}, {"crc": "kermit"}):
        yield _sure(_tried(heard, "sml", options), "SML", "files", "sml")
    yield _sure(_tried(heard, "mbus", {}), "M-Bus", "long frames", None)
    for kind in ("a", "b"):
        yield _sure(
            _tried(heard, "wmbus", {"format": kind}), f"wireless M-Bus, format {kind.upper()}", "telegrams", None
        )


def _sure(trial: _Trial, name: str, things: str, decoder: str | None) -> Guess | None:
    """``NMEA 0183: 41 sentences, all checks right``."""
    count = len(trial.payloads)
    if not count:
        return None
    if decoder == "dsmr" and not any(one.rstrip()[-1:] != b"!" for one in trial.payloads):
        says = f"{name}: {count} {_plural(things, count)}, without checksums"
    else:
        says = f"{name}: {count} {_plural(things, count)}, {_sums(trial)}"
    options = {} if trial.options == {"checksum": "required"} else trial.options
    return Guess(trial.framing, options, count, trial.share, says, decoder, True)


def _sums(trial: _Trial) -> str:
    all_frames = len(trial.payloads) + trial.wrong
    return f"{trial.wrong} of {all_frames} wrong" if trial.wrong else "all checksums right"


def _plural(things: str, count: int) -> str:
    return things.removesuffix("s") if count == 1 else things


def _flagged(heard: bytes) -> Iterator[Guess | None]:
    """Framings that any bytes between two ends are a frame of: believed where nothing that was heard speaks against."""
    if b"\xc0" in heard:
        yield _unsure(heard, "slip", {}, "SLIP", ends=(b"\xc0", b"\xc0\xc0"))
    if b"\0" in heard:
        yield _unsure(heard, "cobs", {}, "COBS", ends=(b"\0",))
    if b"\x02" in heard and b"\x03" in heard:
        yield _unsure(heard, "start_end", {"start": "02", "end": "03"}, "STX … ETX", ends=())
    if heard.count(b"\x7e") >= _FEW:
        flags = {"start": "7e", "end": "7e", "escape": {"byte": "7d", "xor": "20"}}
        yield _unsure(heard, "start_end", flags, "HDLC flags", ends=(b"\x7e", b"\x7e\x7e"))


def _unsure(heard: bytes, framing: str, options: dict[str, Any], name: str, *, ends: tuple[bytes, ...]) -> Guess | None:
    """A guess where there are some frames, and hardly one that is wrong (the first may be the rest of one)."""
    start = min((heard.find(end) for end in ends if end in heard), default=0)
    trial = _tried(heard[start:], framing, options)
    payloads = [one for one in trial.payloads if one]
    if len(payloads) < _FEW or trial.wrong * 20 > len(payloads) or trial.share < 0.9:
        return None
    says = f"{name}: {len(payloads)} frames"
    for label, check in _CHECKS:
        spec = Check(CheckSpec.model_validate(check))
        fitting = sum(len(one) > spec.size and not spec.frame_of(one).fault for one in payloads)
        if fitting * 20 >= len(payloads) * 19 and (spec.size > 1 or len(payloads) >= 2 * _FEW):
            told = "each" if fitting == len(payloads) else f"{fitting} of them"
            says = f"{says}, {told} with {label} at the end"
            return Guess(framing, {**options, "check": check}, fitting, trial.share, says, None, True)
    is_between_pairs = any(heard.count(end) * 2 >= len(payloads) for end in ends[1:])  # chance makes few
    if framing == "cobs" or is_between_pairs or _is_text(payloads):
        return Guess(framing, options, len(payloads), trial.share, says, _decoder_of(payloads), False)
    return None


def _lines(heard: bytes) -> Iterator[Guess | None]:
    """Lines, where all that was heard is text."""
    end = max(heard.rfind(b"\n"), heard.rfind(b"\r"))
    begin = min((place for place in (heard.find(b"\n"), heard.find(b"\r")) if place >= 0), default=-1)
    if end < 0:
        return
    trial = _tried(heard[: end + 1], "lines", {})
    lines = trial.payloads if len(trial.payloads) < 2 else trial.payloads[1:] if begin != end else trial.payloads
    readable = [line for line in lines if _is_text([line])]
    if not readable or len(readable) * 20 < len(lines) * 19:
        return
    shown = max(readable, key=len)[:_SHOWN].decode("utf-8", "replace").strip()
    count = len(trial.payloads)
    says = f"text: {count} {_plural('lines', count)}, such as {shown!r}"
    yield Guess("lines", {}, count, trial.share, says, _decoder_of(readable), False)


def _is_text(payloads: Sequence[bytes]) -> bool:
    try:
        texts = [one.decode() for one in payloads]
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char == "\t" for one in texts for char in one)


def _decoder_of(payloads: Sequence[bytes]) -> str | None:
    found = guess_decoder(payloads[:_READ])
    return found[0] if found is not None and _is_text(payloads[:_READ]) else None
