"""Durations, sizes and rates: what is written is what is meant, exactly."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.files.quantities import (
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)

whole = st.integers(min_value=0, max_value=10**9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("5s", 5.0), ("10m", 600.0), ("24h", 86_400.0), ("7d", 604_800.0), ("1.5s", 1.5), ("0s", 0.0)],
)
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    """The unit decides; the result is always seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("128B", 128), ("256KiB", 262_144), ("2GB", 2 * 10**9), ("500MB", 5 * 10**8), ("1kB", 1000), ("1.5KiB", 1536)],
)
def test_a_size_is_bytes_and_knows_both_kinds_of_units(text: str, size_bytes: int) -> None:
    """2GB on a disk and 2GiB of memory differ by 7 %."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(("text", "per_second"), [("500/s", 500.0), ("30/m", 0.5), ("36/h", 0.01), ("0.5/s", 0.5)])
def test_a_rate_is_events_per_second(text: str, per_second: float) -> None:
    """A cloud's limits are given per second or per hour."""
    assert parse_rate(text) == per_second


@pytest.mark.parametrize(
    "text", ["", "5", "5 s", " 5s", "5s ", "5S", "-5s", "+5s", "5e3s", ".5s", "5.s", "1h30m", "٥s", "s"]
)
def test_what_only_looks_like_a_duration_is_refused(text: str) -> None:
    """A guess would be off by a factor of a thousand."""
    with pytest.raises(ValueError, match="is not a duration; write a number and its unit without a space"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "5", "5 MB", "5mb", "5Mb", "5M", "5MBit", "-5MB", "1e3B"])
def test_what_only_looks_like_a_size_is_refused(text: str) -> None:
    """5Mb are megabits to some."""
    with pytest.raises(ValueError, match="is not a size; write a number and its unit without a space"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "5", "/s", "5/", "5 /s", "5/d", "5/ms", "-5/s"])
def test_what_only_looks_like_a_rate_is_refused(text: str) -> None:
    """A bare number has no time."""
    with pytest.raises(ValueError, match="is not a rate; write events per second, minute or hour"):
        parse_rate(text)


@given(whole, st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_survives_being_written_and_read(number: int, unit: str) -> None:
    """``config show`` must print what can be put back into the file."""
    duration_s = parse_duration(f"{number}{unit}")

    assert parse_duration(format_duration(duration_s)) == duration_s


@given(st.decimals(min_value=0, max_value=10**6, places=6))
def test_a_duration_with_a_fraction_survives_too(number: object) -> None:
    """Fractions are rare but legal."""
    duration_s = parse_duration(f"{number}s")

    assert parse_duration(format_duration(duration_s)) == duration_s


@given(st.integers(min_value=0, max_value=10**15))
def test_a_size_survives_being_written_and_read(size_bytes: int) -> None:
    """Every number of bytes has an exact text."""
    assert parse_size(format_size(size_bytes)) == size_bytes


@given(whole, st.sampled_from(["s", "m", "h"]))
def test_a_rate_survives_being_written_and_read(number: int, unit: str) -> None:
    """A third of an event per second is 20 a minute, not 0.333."""
    per_second = parse_rate(f"{number}/{unit}")

    assert parse_rate(format_rate(per_second)) == per_second


@pytest.mark.parametrize(
    ("written", "shortest"), [("60s", "1m"), ("1000ms", "1s"), ("90s", "90s"), ("24h", "1d"), ("0ms", "0s")]
)
def test_a_duration_is_written_in_the_largest_unit_without_a_fraction(written: str, shortest: str) -> None:
    """90s is clearer than 1.5m."""
    assert format_duration(parse_duration(written)) == shortest


@pytest.mark.parametrize(
    ("written", "shortest"),
    [("1024B", "1KiB"), ("1000B", "1kB"), ("262144B", "256KiB"), ("2000MB", "2GB"), ("0B", "0B")],
)
def test_a_size_is_written_in_the_largest_unit_without_a_fraction(written: str, shortest: str) -> None:
    """So that the default of 262144 bytes is shown as 256KiB."""
    assert format_size(parse_size(written)) == shortest


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    """Nothing else may come out of a parser of what people type."""
    for parse in (parse_duration, parse_size, parse_rate):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0
