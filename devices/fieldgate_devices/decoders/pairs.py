"""``temperature=21.5 humidity=40``: names and values in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, model_validator

from fieldgate_devices.decoders.decoder import Record, Undecodable, excerpt
from fieldgate_devices.decoders.limits import MAX_VALUES, check_record_count, checked
from fieldgate_devices.decoders.texts import TextOptions, read_text, with_point

__all__ = ["PairsDecoder", "PairsOptions"]

_MAX_BYTES: Final = 64 * 1024  # each second one may be a word


class PairsOptions(TextOptions):
    """How pairs are written."""

    equals: str = Field(
        default="=", min_length=1, max_length=8, description="what stands between a name and its value", examples=[":"]
    )
    between: str = Field(
        default=" ,;&\t",
        min_length=1,
        max_length=16,
        description="the characters that stand between pairs, any number of them; the end of a line always does",
        examples=[";"],
    )
    quote: str | None = Field(
        default='"',
        min_length=1,
        max_length=1,
        description="the character around values that hold any of these; \\ goes before one that is meant",
    )
    lines: bool = Field(default=False, description="each line is a reading of its own; else all lines are one")
    decimal: Literal[".", ","] = Field(default=".", description="the decimal mark of numbers")
    loose: bool = Field(default=False, description="words that are no pair are passed over; else they are refused")

    @model_validator(mode="after")
    def _check(self) -> PairsOptions:
        if set(self.equals) & set(self.between):
            raise ValueError("equals and between have a character in common")
        if set(self.equals + self.between) & {self.quote, "\r", "\n"}:
            raise ValueError("equals and between hold neither the quote nor the end of a line")
        if self.decimal == "," and "," in self.between:
            raise ValueError("decimal ',' needs a between without ','")
        return self

    def make(self) -> PairsDecoder:
        """Return the decoder."""
        return PairsDecoder(self)


class PairsDecoder:
    """Reads names and values."""

    is_text = True

    def __init__(self, options: PairsOptions) -> None:
        self._encoding = options.encoding
        self._has_lines = options.lines
        self._is_loose = options.loose
        self._has_comma = options.decimal == ","
        self._equals = options.equals
        # Each class of characters ends where the next begins, so that no text makes them try again from the middle.
        between = re.escape(options.between + "\r\n")
        self._gap = re.compile(f"[{between}]*")
        self._word = re.compile(f"[^{between}]*")
        self._name = re.compile(f"(?:(?!{re.escape(options.equals)})[^{between}])+")
        self._blanks = re.compile(r"[ \t]*")
        quote = re.escape(options.quote) if options.quote is not None else None
        self._quoted = (
            re.compile(rf"{quote}((?:[^{quote}\\]++|\\.)*+){quote}", re.DOTALL) if quote is not None else None
        )
        self._quote = options.quote

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record, or one per line; an empty value is None.

        Raises:
            Undecodable: something is no pair, a name comes twice, or a quote is not closed.
        """
        text = read_text(payload, encoding=self._encoding, limit_bytes=_MAX_BYTES)
        if not self._has_lines:
            record = self._record(text)
            return checked([record] if record else [])
        lines = [line for line in text.split("\n") if line.strip()]
        check_record_count(len(lines))
        return checked([record for line in lines if (record := self._record(line))])

    def _record(self, text: str) -> Record:
        record: Record = {}
        words = 0
        at = self._end(self._gap, text, 0)
        while at < len(text):
            words += 1
            if words > MAX_VALUES:
                raise Undecodable(f"a reading holds more than {MAX_VALUES} values and words")
            name, value, after = self._pair(text, at)
            if name is not None:
                if name in record:
                    raise Undecodable(f"{excerpt(name)} comes twice")
                record[name] = (with_point(value) if self._has_comma else value) or None
            at = self._end(self._gap, text, after)
        return record

    def _pair(self, text: str, at: int) -> tuple[str | None, str, int]:
        """The pair at ``at`` and where it ends; no name where a word is none and that does not matter."""
        named = self._name.match(text, at)
        sign = self._end(self._blanks, text, named.end()) if named is not None else at
        if named is None or not text.startswith(self._equals, sign):
            if not self._is_loose:
                raise Undecodable(f"no name and {self._equals!r} at character {at}: {excerpt(text[at : at + 50])}")
            return None, "", max(self._end(self._word, text, at), at + 1)
        start = self._end(self._blanks, text, sign + len(self._equals))
        if self._quoted is not None and self._quote is not None and text.startswith(self._quote, start):
            quoted = self._quoted.match(text, start)
            if quoted is None:
                raise Undecodable(f"the quote at character {start} is not closed")
            return named[0].strip(), re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), quoted.end()
        if start > sign + len(self._equals) and self._is_pair(text, start):
            return named[0].strip(), "", start  # "a= b=1": a has no value
        end = self._end(self._word, text, start)
        return named[0].strip(), text[start:end].strip(), end

    def _is_pair(self, text: str, at: int) -> bool:
        named = self._name.match(text, at)
        return named is not None and text.startswith(self._equals, named.end())

    @staticmethod
    def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
        match = pattern.match(text, at)
        return at if match is None else match.end()
