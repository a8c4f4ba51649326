"""Checksums by parameters: where one stands, how it is computed and written.

A CRC is any of the catalogue (https://reveng.sourceforge.io/crc-catalogue) by its name, or one by its parameters; it
is computed by ``anycrc``, which is imported by who uses one. A check stands at the end of what it covers.
"""

from __future__ import annotations

import difflib
import re
from functools import reduce
from itertools import accumulate
from operator import xor
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from fieldgate_devices.files.section import Section
from fieldgate_devices.framing.framer import Frame

__all__ = ["Check", "CheckSpec", "CrcSpec", "PlacedCheckSpec", "Sum", "make_crc"]

SumName = Literal["sum8", "sum16", "lrc8", "inv8", "xor8", "fletcher8", "nmea"]
_SUMS: Final = ("sum8", "sum16", "lrc8", "inv8", "xor8", "fletcher8", "nmea")
_CRC_NAME: Final = re.compile(r"(CRC)([0-9]+)-(.+)")


class Sum(Protocol):
    """A way to compute a check, such that the value of a stretch follows from those of what is before its two ends."""

    size: int
    """Bytes of the value."""

    def grown(self, value: int, more: bytes) -> int:
        """The value of what ``value`` is of, with ``more`` behind it."""

    def between(self, before: int, value: int, size: int) -> int:
        """The value of the last ``size`` bytes of what ``value`` is of, where ``before`` is that of the others."""

    @property
    def empty(self) -> int:
        """The value of no bytes."""


class _Crc:
    """A CRC of ``anycrc``."""

    def __init__(self, model: Any, width: int) -> None:
        self.size = (width + 7) // 8
        self.empty = int(model.calc(b""))
        self._calc = model.calc
        self._combine = model.combine

    def grown(self, value: int, more: bytes) -> int:
        return int(self._calc(more, value))

    def between(self, before: int, value: int, size: int) -> int:
        return int(self._combine(before, value, size))  # CRCs are linear: what joins two takes them apart too


class _Total:
    """The bytes added up, or taken off what no bytes give."""

    def __init__(self, size: int, *, sign: int = 1, empty: int = 0) -> None:
        self.size = size
        self.empty = empty
        self._sign = sign
        self._mask = (1 << 8 * size) - 1

    def grown(self, value: int, more: bytes) -> int:
        return value + self._sign * sum(more) & self._mask

    def between(self, before: int, value: int, size: int) -> int:
        return value - before + self.empty & self._mask


class _Xor:
    """All bytes by exclusive or."""

    empty = 0
    size = 1

    def grown(self, value: int, more: bytes) -> int:
        return reduce(xor, more, value)

    def between(self, before: int, value: int, size: int) -> int:
        return value ^ before


class _Fletcher:
    """RFC 1145's checksum over bytes (u-blox): a sum and a sum of sums, modulo 256; the sum is the high byte."""

    empty = 0
    size = 2

    def grown(self, value: int, more: bytes) -> int:
        first, second = value >> 8, value & 255
        second += len(more) * first + sum(accumulate(more))
        return (first + sum(more) & 255) << 8 | second & 255

    def between(self, before: int, value: int, size: int) -> int:
        first = (value >> 8) - (before >> 8)
        second = (value & 255) - (before & 255) - size * (before >> 8)
        return (first & 255) << 8 | second & 255


def _or_a_text(schema: dict[str, Any]) -> None:
    schema["type"] = ["object", "string"]


def _catalogue() -> dict[str, str]:
    """The names of the catalogue, without signs, and anycrc's."""
    from anycrc.models import aliases, models  # type: ignore[import-untyped]  # it has no types

    return {_plain(name): name for name in (*models, *aliases)}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def _check_crc_name(name: str) -> str:
    names = _catalogue()
    if _plain(name) not in names:
        matches = difflib.get_close_matches(_plain(name), names, n=1, cutoff=0.6)
        shown = _CRC_NAME.sub(r"\1-\2/\3", names[matches[0]]) if matches else ""
        hint = f"did you mean {shown!r}?" if shown else "an example: CRC-16/MODBUS"
        raise ValueError(f"{name[:80]!r} is no CRC of the catalogue; {hint}")
    return name


class CrcSpec(Section):
    """A CRC of the catalogue by its name (a plain text is one), or any by its parameters, in the catalogue's terms."""

    model_config = ConfigDict(json_schema_extra=_or_a_text)

    name: Annotated[str, Field(max_length=64), AfterValidator(_check_crc_name)] | None = Field(
        default=None, description="its name in the catalogue, in place of the parameters", examples=["CRC-16/MODBUS"]
    )
    width: int | None = Field(default=None, ge=8, le=64, description="bits of the CRC", examples=[16])
    poly: int | None = Field(
        default=None, ge=0, lt=2**64, description="polynomial, without its highest bit", examples=[0x8005]
    )
    init: int = Field(default=0, ge=0, lt=2**64, description="value to begin with")
    refin: bool = Field(default=False, description="whether bytes go in with the lowest bit first")
    refout: bool = Field(default=False, description="whether the result's bits are turned around")
    xorout: int = Field(default=0, ge=0, lt=2**64, description="what the result is changed by, by exclusive or")

    @model_validator(mode="before")
    @classmethod
    def _take_a_name(cls, written: object) -> object:
        return {"name": written} if isinstance(written, str) else written

    @model_validator(mode="after")
    def _check_together(self) -> CrcSpec:
        if self.name is not None:
            if extra := sorted(self.model_fields_set - {"name"}):
                raise ValueError(f"{extra[0]} belongs to a CRC without a name: the catalogue says it of {self.name}")
            return self
        if self.width is None or self.poly is None:
            raise ValueError("a CRC has a name, or width and poly; an example: CRC-16/MODBUS")
        for key in ("poly", "init", "xorout"):
            if getattr(self, key) >> self.width:
                raise ValueError(f"{key} has more than {self.width} bits (width)")
        return self


class CheckSpec(Section):
    """A checksum: a CRC or a sum. A name alone is one of either."""

    model_config = ConfigDict(json_schema_extra=_or_a_text)

    crc: CrcSpec | None = Field(
        default=None,
        description="a CRC of the catalogue by its name, or one by its parameters",
        examples=["CRC-16/MODBUS", {"width": 16, "poly": 0x8005, "refin": True, "refout": True}],
    )
    sum: SumName | None = Field(
        default=None,
        description="sum8, sum16: the bytes added up; lrc8: what makes the sum 0; inv8: what makes it 255; xor8: "
        "exclusive or; fletcher8: two bytes, as UBX has it; nmea: exclusive or, without a first $ or !, written *hh",
    )
    order: Literal["big", "little"] = Field(
        default="big", description="which byte of it comes first: the highest or the lowest"
    )
    form: Literal["bytes", "hex"] = Field(
        default="bytes", description="whether it is written as bytes or as hexadecimal digits"
    )
    keep: bool = Field(
        default=False, description="whether it stays in the payload, for a decoder that looks at it once more"
    )

    @model_validator(mode="before")
    @classmethod
    def _take_a_name(cls, written: object) -> object:
        if not isinstance(written, str):
            return written
        return {"sum": written} if written in _SUMS else {"crc": written}

    @model_validator(mode="after")
    def _check_kind(self) -> CheckSpec:
        if (self.crc is None) == (self.sum is None):
            raise ValueError("a check is either a crc or a sum")
        if self.sum == "nmea" and (self.form != "bytes" or self.order != "big"):
            raise ValueError("nmea says how it is written; leave out form and order")
        return self

    @property
    def made(self) -> Sum:
        """What computes it."""
        if self.crc is not None:
            return make_crc(self.crc)
        match self.sum:
            case "sum8" | "sum16":
                return _Total(1 if self.sum == "sum8" else 2)
            case "lrc8":
                return _Total(1, sign=-1)
            case "inv8":
                return _Total(1, sign=-1, empty=0xFF)
            case "fletcher8":
                return _Fletcher()
            case _:
                return _Xor()


class PlacedCheckSpec(CheckSpec):
    """A checksum of frames that begin with something."""

    over: Literal["body", "frame", "payload"] = Field(
        default="body",
        description="what it covers, up to where it stands: body: all behind the sync word or start; frame: these too; "
        "payload: only what is behind the header",
    )


def make_crc(crc: CrcSpec) -> Sum:
    """Return what computes the CRC."""
    import anycrc  # type: ignore[import-untyped]  # it has no types; imported by those who use a CRC

    if crc.name is not None:
        name = _catalogue()[_plain(crc.name)]
        return _Crc(anycrc.Model(name), anycrc.models[anycrc.aliases.get(name, name)].width)
    width = crc.width or 0
    return _Crc(anycrc.CRC(width, crc.poly, crc.init, crc.refin, crc.refout, crc.xorout), width)


class Check:
    """A check as it stands behind what it covers."""

    def __init__(self, spec: CheckSpec) -> None:
        self.sum = spec.made
        self.keep = spec.keep
        self._is_nmea = spec.sum == "nmea"
        self._is_hex = spec.form == "hex"
        self._order: Literal["big", "little"] = spec.order
        self.size = 3 if self._is_nmea else self.sum.size * (2 if self._is_hex else 1)

    def written(self, covered: bytes) -> bytes:
        """The check of these bytes, as it is written."""
        return self.form(self.sum.grown(self.sum.empty, covered))

    def form(self, value: int) -> bytes:
        """A value as it is written."""
        if self._is_nmea:
            return b"*%02X" % value
        content = value.to_bytes(self.sum.size, self._order)
        return content.hex().upper().encode() if self._is_hex else content

    def problem(self, found: bytes, wanted: bytes) -> str:
        """What is wrong with a check, if anything; digits may be small letters."""
        if found == wanted or ((self._is_hex or self._is_nmea) and found.upper() == wanted):
            return ""
        is_text = self._is_hex or self._is_nmea
        shown, right = (repr(found)[1:], repr(wanted)[1:]) if is_text else (found.hex(" "), wanted.hex(" "))
        return f"check {shown} is wrong; {right} is right for what came"

    def frame_of(self, content: bytes) -> Frame:
        """The frame whose bytes, with the check at the end, are ``content``."""
        if len(content) < self.size:
            return Frame(content, "malformed", f"{len(content)} bytes are too few to hold the check")
        covered, found = content[: -self.size], content[-self.size :]
        problem = self.problem(found, self.written(self._summed(covered)))
        if problem:
            return Frame(content, "checksum", problem)
        return Frame(content if self.keep else covered)

    def with_check(self, payload: bytes) -> bytes:
        """Return ``payload`` with its check behind it.

        Raises:
            ValueError: the check is to be in the payload, and is not right.
        """
        if not self.keep:
            return payload + self.written(self._summed(payload))
        if fault := self.frame_of(payload).detail:
            raise ValueError(fault)
        return payload

    def _summed(self, covered: bytes) -> bytes:
        """What goes into the sum: NMEA 0183 leaves out the character that begins a sentence."""
        return covered[1:] if self._is_nmea and covered[:1] in (b"$", b"!") else covered
