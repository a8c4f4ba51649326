"""What GNSS receivers say: NMEA 0183, UBX and RTCM 3, all mixed on one port.

A payload is a sentence without its end (``$GPGGA,…*47``, as the decoder ``nmea`` takes it; a tag block before it
belongs to it), or a whole frame of UBX (b5 62 …) or RTCM (d3 …): its first byte says which it is.

    UBX   b5 62 │ class │ id │ length, 2 bytes, little │ … │ Fletcher's sums over class to payload
    RTCM  d3 │ 6 bits 0, length in 10 bits │ … │ CRC-24Q over all
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field

from fieldgate_devices.framing.checks import Check, CheckSpec, CrcSpec
from fieldgate_devices.framing.options import Length, PatientOptions, TimedOptions
from fieldgate_devices.framing.scanner import Broken, Intact, Scanner, Verdict, Wait, heard_alone

__all__ = ["UBX_SYNC", "GnssFramer", "GnssOptions", "NmeaOptions"]

UBX_SYNC: Final = b"\xb5\x62"
_STARTS: Final = {
    "nmea": rb"[$!][A-Z]|[$!]\Z|\\[!-~]|\\\Z",
    "ubx": rb"\xb5(?:\x62|\Z)",
    "rtcm3": rb"\xd3(?:[\x00-\x03]|\Z)",
}
_LONGEST_SENTENCE: Final = 1_024  # what the decoder reads
_LONGEST_TAG: Final = 208
_LINE_END: Final = re.compile(rb"[^ -~]")
_TAG: Final = re.compile(rb"\\[^\\]{0,200}\*[0-9A-Fa-f]{2}\\(?=[$!])")
_ADDRESS: Final = re.compile(rb"[$!][A-Z][A-Z0-9]{2,11},")
_SENTENCE: Final = re.compile(rb"[$!]([A-Z][A-Z0-9]{2,11}(?:,[^*$]*)?)(?:\*([0-9A-Fa-f]{2}))?[ \t]*")
_UNENDED: Final = re.compile(rb"[$!]([A-Z][A-Z0-9]{2,11},[^*$]*)\*([0-9A-Fa-f]{2})(?=[$!\\])")  # its end was lost

Kinds = Annotated[tuple[Literal["nmea", "ubx", "rtcm3"], ...], Field(strict=False, min_length=1, max_length=3)]


class GnssOptions(TimedOptions):
    """What to listen for."""

    kinds: Kinds = Field(default=("nmea", "ubx", "rtcm3"), description="what to listen for; all else is noise")
    checksum: Literal["required", "optional"] = Field(
        default="required",
        description="optional: a sentence of NMEA 0183 may come without one; one that is there must be right",
    )
    max_length: Length = Field(default=8192, description="longest frame of UBX in bytes; a longer one is refused")

    def make(self) -> GnssFramer:
        """Return the framer."""
        return GnssFramer(self)


class NmeaOptions(PatientOptions):
    """NMEA 0183 alone: receivers, ships' instruments, AIS."""

    checksum: Literal["required", "optional"] = Field(
        default="required", description="optional: a sentence may come without one; one that is there must be right"
    )

    def make(self) -> GnssFramer:
        """Return the framer."""
        return GnssFramer(GnssOptions(kinds=("nmea",), checksum=self.checksum, give_up_after=self.give_up_after))


class GnssFramer(Scanner):
    """Searches for what begins as one of the three."""

    def __init__(self, options: GnssOptions) -> None:
        super().__init__(give_up_after_s=options.give_up_after, within_s=options.within)
        self._options = options
        self._max_length = options.max_length
        self._needs_checksum = options.checksum == "required"
        self._line_to = 0  # up to where there is no end of a line, in bytes of the port
        self._starts = re.compile(b"|".join(_STARTS[kind] for kind in options.kinds))
        self._nmea = Check(CheckSpec(sum="nmea"))
        self._fletcher = Check(CheckSpec(sum="fletcher8"))
        self._rtcm = Check(CheckSpec(crc=CrcSpec(name="CRC-24/LTE-A"))) if "rtcm3" in options.kinds else None

    def find(self, buffer: bytearray, start: int) -> int:
        """Where something begins."""
        match = self._starts.search(buffer, start)
        return match.start() if match is not None else len(buffer)

    def look(self, buffer: bytearray, at: int) -> Verdict:
        """What begins at ``at``."""
        if len(buffer) - at < 2:
            return Wait(2, is_begun=False)
        match buffer[at]:
            case 0xB5:
                return self._look_at_ubx(buffer, at)
            case 0xD3:
                return self._look_at_rtcm(buffer, at)
            case _:
                return self._look_at_sentence(buffer, at)

    def _look_at_ubx(self, buffer: bytearray, at: int) -> Verdict:
        there = len(buffer) - at
        if there < 6:
            return Wait(6)
        size = 8 + int.from_bytes(buffer[at + 4 : at + 6], "little")
        if size > self._max_length:
            return Broken(6, "too_long", f"a frame of {size} bytes; {self._max_length} at most (max_length)")
        return self._checked(self._fletcher, buffer, at, size, covered_from=2)

    def _look_at_rtcm(self, buffer: bytearray, at: int) -> Verdict:
        if len(buffer) - at < 3:
            return Wait(3)
        assert self._rtcm is not None  # nothing is found that is not listened for
        return self._checked(self._rtcm, buffer, at, 6 + int.from_bytes(buffer[at + 1 : at + 3], "big"), covered_from=0)

    def _checked(self, check: Check, buffer: bytearray, at: int, size: int, *, covered_from: int) -> Verdict:
        """A frame whose check, at its end, covers the rest of it."""
        if len(buffer) - at < size:
            return Wait(size)
        end = at + size - check.size
        wanted = check.form(self.sum_over(check.sum, at + covered_from, end))
        if problem := check.problem(bytes(buffer[end : at + size]), wanted):
            return Broken(size, "checksum", problem)
        return Intact(size, bytes(buffer[at : at + size]))

    def _look_at_sentence(self, buffer: bytearray, at: int) -> Verdict:
        """A line that begins as a sentence, or with a tag block; other lines are noise."""
        longest = _LONGEST_SENTENCE + _LONGEST_TAG
        begin = at
        if buffer[at] == 0x5C:
            tag = _TAG.match(buffer, at)
            if tag is None:
                closed = buffer.find(b"\\", at + 1, at + _LONGEST_TAG)
                if len(buffer) - at < _LONGEST_TAG and closed in (-1, len(buffer) - 1):
                    return Wait(len(buffer) - at + 1, is_begun=False)
                return None
            begin = tag.end()
        end = _LINE_END.search(buffer, max(begin, self._line_to - self.origin), at + longest)
        if end is None:
            self._line_to = self.origin + min(len(buffer), at + longest)
            if len(buffer) - at >= longest:
                return None
            return Wait(len(buffer) - at + 1, is_begun=_SENTENCE.match(buffer, begin) is not None)
        sentence = _SENTENCE.fullmatch(buffer, begin, end.start()) or _UNENDED.match(buffer, begin, end.start())
        size = (end.start() if sentence is None else sentence.end()) - at
        if sentence is None:
            if _ADDRESS.match(buffer, begin) is None:
                return None
            return Broken(
                size, "malformed", "a line begins as a sentence, and its fields or its checksum are not whole"
            )
        if sentence[2] is not None:
            if problem := self._nmea.problem(b"*" + sentence[2], self._nmea.written(sentence[1])):
                return Broken(size, "checksum", problem)
        elif end[0] not in (b"\r", b"\n"):
            if b"," not in sentence[1]:
                return None
            return Broken(size, "truncated", f"byte 0x{end[0][0]:02x} stands in a sentence")
        elif self._needs_checksum:
            return Broken(size, "checksum", "there is no checksum (checksum: optional takes it without one)")
        return Intact(size, bytes(buffer[at : at + size]))

    def noise_in(self, buffer: bytearray, start: int, end: int) -> int:
        """Ends of lines are none."""
        between = buffer[start:end]
        return len(between) - between.count(b"\r") - between.count(b"\n")

    def encode(self, payload: bytes) -> bytes:
        """Return a frame: of a sentence with its end, and its checksum where it has none; of others as they are.

        Raises:
            ValueError: it is none of what is listened for.
        """
        frame = payload
        if payload[:1] in (b"$", b"!", b"\\"):
            sentence = payload[payload.rfind(b"\\") + 1 :]
            if b"*" not in sentence:
                frame += self._nmea.written(sentence[1:])
            frame += b"\r\n"
        return heard_alone(frame, self._options.make())
