"""CSV and other lines with delimiters: each line is a reading [RFC 4180, and what devices make of it]."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fieldgate_devices.decoders.decoder import Record, Undecodable, excerpt
from fieldgate_devices.decoders.limits import MAX_VALUES, Allowance, check_record_count, checked
from fieldgate_devices.decoders.texts import TextOptions, read_text, with_point

__all__ = ["CsvDecoder", "CsvOptions"]


class CsvOptions(TextOptions):
    """How the lines are written."""

    delimiter: str = Field(
        default=",",
        min_length=1,
        max_length=1,
        description="the character between values; a space stands for any number of spaces",
        examples=[";", "\t"],
    )
    quote: str | None = Field(
        default='"', min_length=1, max_length=1, description="the character around values that hold a delimiter"
    )
    header: bool = Field(default=False, description="the first line names the columns")
    columns: Annotated[tuple[str | None, ...], Field(strict=False)] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VALUES,
        description="names of the columns, null for one to pass over; without names they are called '1', '2', …",
        examples=[["temperature", "humidity"]],
    )
    skip: int = Field(default=0, ge=0, le=1_000, description="lines at the beginning to pass over")
    comment: str | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="a line that begins with this is passed over",
        examples=["#"],
    )
    decimal: Literal[".", ","] = Field(default=".", description="the decimal mark of numbers")
    short_lines: bool = Field(default=False, description="a line may have fewer values than there are columns")

    @model_validator(mode="after")
    def _check(self) -> CsvOptions:
        if self.header and self.columns is not None:
            raise ValueError("write either header: true or columns, not both")
        if self.delimiter in {"\r", "\n"} or self.delimiter == self.quote:
            raise ValueError("delimiter must be a character of its own, not the end of a line or the quote")
        if self.delimiter == self.decimal == ",":
            raise ValueError("decimal ',' needs another delimiter, such as ';'")
        if self.quote is not None and self.quote in " \t\r\n":
            raise ValueError("quote must be a character that can be seen")
        if self.short_lines and not self.header and self.columns is None:
            raise ValueError("short_lines needs columns or header: true, else no line is short")
        names = [name for name in self.columns or () if name is not None]
        if len(set(names)) != len(names):
            raise ValueError("columns names one column twice")
        return self

    def make(self) -> CsvDecoder:
        """Return the decoder."""
        return CsvDecoder(self)


class CsvDecoder:
    """Reads lines of values."""

    is_text = True

    def __init__(self, options: CsvOptions) -> None:
        self._options = options

    def decode(self, payload: bytes, captures: Mapping[str, str]) -> list[Record]:
        """Return one record per line; a value that is not there is None.

        Raises:
            Undecodable: a line has too many or too few values, or the quotes do not pair.
        """
        options = self._options
        rows = self._rows(read_text(payload, encoding=options.encoding))
        names: Sequence[str | None] | None = options.columns
        records: list[Record] = []
        allowance = Allowance()
        try:
            if options.header:
                _, row = next(rows, (0, []))
                names = _names(row)
            for line, row in rows:
                allowance.spend(len(row))
                records.append(self._record(row, names, line=line))
                check_record_count(len(records))
        except csv.Error as error:
            raise Undecodable(f"not CSV: {error}") from None
        return checked(records)

    def _rows(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not blank, with the number of the line on which each ends."""
        options = self._options
        lines = _Lines(text, skip=options.skip, comment=options.comment)
        rows = csv.reader(
            lines,
            delimiter=options.delimiter,
            quotechar=options.quote,
            quoting=csv.QUOTE_MINIMAL if options.quote is not None else csv.QUOTE_NONE,
            skipinitialspace=True,
            strict=True,
        )
        for row in rows:
            if any(row) or (len(row) > 1 and options.delimiter != " "):
                yield lines.number, row

    def _record(self, row: list[str], names: Sequence[str | None] | None, *, line: int) -> Record:
        if len(row) > MAX_VALUES:
            raise Undecodable(f"line {line} has more than {MAX_VALUES} values")
        values = [value.strip() for value in row]
        if self._options.delimiter == " " and not values[-1]:
            values.pop()  # blanks at the end of a line
        if self._options.decimal == ",":
            values = [with_point(value) for value in values]
        if names is None:
            names = [str(number) for number in range(1, len(values) + 1)]
        if len(values) > len(names) or (len(values) < len(names) and not self._options.short_lines):
            raise Undecodable(f"line {line} has {len(values)} values; {len(names)} are expected: {excerpt(row[0])}")
        return {name: value or None for name, value in zip(names, values, strict=False) if name is not None}


class _Lines:
    """The lines that hold values; what is passed over is no CSV and may have quotes that do not pair."""

    def __init__(self, text: str, *, skip: int, comment: str | None) -> None:
        self._lines = iter(io.StringIO(text, newline=""))
        self._skip = skip
        self._comment = comment
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number += 1
            if self.number > self._skip and not (self._comment is not None and line.startswith(self._comment)):
                yield line


def _names(row: list[str]) -> list[str | None]:
    names = [name.strip() for name in row]
    found = [name for name in names if name]
    if not found or len(set(found)) != len(found):
        raise Undecodable("the first line does not name the columns, or one name twice")
    return [name or None for name in names]
