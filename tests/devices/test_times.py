"""Device times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.times import check_time_format, check_zone, time_reader

NOON_NS = 1_795_694_400 * 10**9  # 2026-11-26T12:00:00Z


@pytest.mark.parametrize(
    ("form", "zone", "written", "at_ns"),
    [
        ("unix_s", "UTC", 1_795_694_400, NOON_NS),
        ("unix_s", "UTC", 1_795_694_400.25, NOON_NS + 250_000_000),
        ("unix_s", "UTC", "1795694400", NOON_NS),
        ("unix_ms", "UTC", 1_795_694_400_000, NOON_NS),
        ("unix_ns", "UTC", NOON_NS, NOON_NS),
        ("iso8601", "UTC", "2026-11-26T12:00:00Z", NOON_NS),
        ("iso8601", "UTC", "2026-11-26T13:00:00+01:00", NOON_NS),
        ("iso8601", "Europe/Berlin", "2026-11-26T13:00:00", NOON_NS),
        ("%d.%m.%Y %H:%M", "Europe/Berlin", "26.11.2026 13:00", NOON_NS),
        ("%Y%m%d%H%M%S", "UTC", 20261126120000, NOON_NS),
    ],
)
def test_times_are_read_in_their_format_and_zone(form, zone, written, at_ns):
    assert time_reader(check_time_format(form), check_zone(zone))(written) == at_ns


@pytest.mark.parametrize("written", ["1970-01-01T00:00:20", "1999-12-31T23:59:59Z"])
def test_the_time_of_a_clock_that_was_never_set_is_none(written):
    """Tasmota begins in 1970 until NTP has answered; such a time would be believed upstream."""
    assert time_reader("iso8601", "UTC")(written) is None


FORMATS = st.sampled_from(["iso8601", "unix_s", "unix_ms", "%d.%m.%Y"])
WRITTEN = st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.integers(), max_size=1)


@given(FORMATS, WRITTEN)
def test_whatever_stands_there_is_a_time_none_or_refused(form, written):
    try:
        at_ns = time_reader(form, "UTC")(written)
    except (ValueError, OverflowError):
        return
    assert at_ns is None or 946_684_800 * 10**9 <= at_ns < 1 << 63


@pytest.mark.parametrize("text", ["seconds", "%Q", ""])
def test_what_is_no_format_is_refused(text):
    with pytest.raises(ValueError, match="format of times"):
        check_time_format(text)


def test_what_is_no_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        check_zone("Mars/Olympus")
