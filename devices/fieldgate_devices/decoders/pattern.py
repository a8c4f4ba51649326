"""A regular expression with named groups, by RE2: its time is linear in the payload, whatever the pattern.

Linear is not yet short: RE2's slowest way costs about 20 ns per byte and instruction. What a match may cost is
charged before it is tried, and a payload that could cost more than `MAX_STEPS` (about 100 ms) is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from fieldgate_devices.decoders.decoder import Record, Undecodable, excerpt
from fieldgate_devices.decoders.limits import check_record_count, checked
from fieldgate_devices.decoders.texts import TextOptions, read_text

__all__ = ["MAX_PATTERN", "MAX_PROGRAM", "MAX_STEPS", "RegexDecoder", "RegexOptions"]

MAX_PATTERN: Final = 1_000
"""Characters of a pattern."""
MAX_PROGRAM: Final = 2_000
"""Instructions that RE2 makes of it."""
MAX_STEPS: Final = 4_000_000
"""Bytes times instructions of all that is tried on one payload."""
_MAX_MEMORY_BYTES: Final = 1024 * 1024


class RegexOptions(TextOptions):
    """The pattern, and how often it is looked for."""

    pattern: str = Field(
        min_length=1,
        max_length=MAX_PATTERN,
        description="RE2 syntax; each group (?P<name>…) becomes a value of that name",
        examples=["T=(?P<temperature>-?[0-9.]+)"],
    )
    matches: Literal["first", "lines", "all"] = Field(
        default="first",
        description="first: one reading; lines: the first match in each line is one; all: each match is one",
    )
    others: Literal["refuse", "ignore"] = Field(
        default="refuse", description="what becomes of a line without a match, where each line is looked at"
    )

    @field_validator("pattern")
    @classmethod
    def _check(cls, pattern: str) -> str:
        compiled = _compile(pattern)
        if not compiled.groupindex:
            raise ValueError(f"{pattern[:80]!r} has no named group; write (?P<name>…) around each value")
        if compiled.programsize > MAX_PROGRAM:
            raise ValueError(
                f"{pattern[:80]!r} makes a program of {compiled.programsize} instructions; {MAX_PROGRAM} at most "
                "(counted repetitions such as {1,500} are long)"
            )
        return pattern

    @model_validator(mode="after")
    def _check_others(self) -> RegexOptions:
        if self.others == "ignore" and self.matches != "lines":
            raise ValueError("others: ignore needs matches: lines; where there is no match at all, nothing is said")
        return self

    def make(self) -> RegexDecoder:
        """Return the decoder."""
        return RegexDecoder(self)


class RegexDecoder:
    """Looks for the pattern."""

    is_text = True

    def __init__(self, options: RegexOptions) -> None:
        self._regex = _compile(options.pattern)
        self._program = int(self._regex.programsize)
        self._names: dict[str, int] = self._regex.groupindex
        self._options = options

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record per match; a group that took no part is None.

        Raises:
            Undecodable: there is no match, or looking for it could take too long.
        """
        options = self._options
        text = read_text(payload, encoding=options.encoding).encode()
        budget = _Budget(self._program)
        if options.matches == "lines":
            return checked(self._by_line(text, budget))
        records: list[Record] = []
        for record in self._find(text, budget):
            records.append(record)
            if options.matches == "first":
                break
            check_record_count(len(records))
        if not records:
            raise Undecodable(f"no match in {excerpt(text)}")
        return checked(records)

    def _by_line(self, text: bytes, budget: _Budget) -> list[Record]:
        records: list[Record] = []
        for number, line in enumerate(text.split(b"\n"), start=1):
            if not line.strip():
                continue
            record = next(self._find(line.removesuffix(b"\r"), budget), None)
            if record is not None:
                records.append(record)
                check_record_count(len(records))
            elif self._options.others == "refuse":
                raise Undecodable(f"no match in line {number}: {excerpt(line)}")
        return records

    def _find(self, text: bytes, budget: _Budget) -> Iterator[Record]:
        """The matches one after the other, each begun where the last one ended."""
        at = 0
        while at <= len(text):
            budget.charge(len(text) - at)
            match = self._regex.search(text, at)
            if match is None:
                return
            values: list[bytes | None] = [match.group(index) for index in self._names.values()]
            yield {
                name: None if value is None else value.decode("utf-8", "replace")  # \C may cut a character
                for name, value in zip(self._names, values, strict=True)
            }
            at = match.end()
            if match.start() == at:  # nothing matched: go on behind the next character
                at += 1
                while at < len(text) and text[at] & 0xC0 == 0x80:
                    at += 1


class _Budget:
    """What may still be tried on this payload."""

    def __init__(self, program: int) -> None:
        self._program = program
        self._left = MAX_STEPS

    def charge(self, size_bytes: int) -> None:
        self._left -= (size_bytes + 1) * self._program
        if self._left < 0:
            raise Undecodable(
                "the payload is too long for this pattern; shorten the pattern, or look at each line (matches: lines)"
            )


def _compile(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]  # it has no types; 2 MB, for those who use it

    options = re2.Options()
    options.max_mem = _MAX_MEMORY_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        complaint = error.args[0] if error.args else error
        text = complaint.decode(errors="replace") if isinstance(complaint, bytes) else str(complaint)
        raise ValueError(f"{pattern[:80]!r} is no regular expression of RE2: {text}") from None
