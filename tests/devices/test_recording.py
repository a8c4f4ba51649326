"""Recordings: what was written is read as the same, and what is wrong is told with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate_devices.recording import (
    MAX_LINE_BYTES,
    RECORDING_HEAD,
    Heard,
    RecordingReader,
    is_recording,
    read_rfc3339,
    read_whole_recording,
    recording_line,
    rfc3339,
)

AT_NS = 1_767_225_600_000_000_001
LINE = b'{"at":"2026-01-01T00:00:00.000000001Z","source":"listen:1883","topic":"a/b","payload":"21.5"}\n'
ONE = Heard(AT_NS, "listen:1883", "a/b", b"21.5")

_topics = st.text(st.characters(exclude_characters="+#\0", codec="utf-8"), min_size=1, max_size=30)
_messages = st.builds(
    Heard,
    at_ns=st.integers(0, 2**63 - 1),
    source=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    topic=_topics,
    payload=st.binary(max_size=40) | st.text(st.characters(codec="utf-8")).map(str.encode),
    qos=st.integers(0, 2),
    is_retained=st.booleans(),
)


def problems(content: bytes) -> list[str]:
    return list(map(str, read_whole_recording(content, "r.jsonl")[1]))


def test_a_line_is_what_the_manual_shows():
    """Other tools read and write these files; the bytes are fixed."""
    assert recording_line(ONE) == LINE
    assert recording_line(Heard(AT_NS, "listen:1883", "a/b", b"\xff\x00", 1, True)) == (
        b'{"at":"2026-01-01T00:00:00.000000001Z","source":"listen:1883","topic":"a/b","base64":"/wA=",'
        b'"qos":1,"retained":true}\n'
    )


@given(st.lists(_messages, max_size=8))
def test_what_is_written_is_read_as_the_same(messages):
    """A test that replays a recording must see what the gateway saw, byte for byte and to the nanosecond."""
    messages.sort(key=lambda one: one.at_ns)

    read, wrong = read_whole_recording(RECORDING_HEAD + b"".join(map(recording_line, messages)), "r.jsonl")

    assert (read, wrong) == (messages, [])


@given(st.lists(_messages, min_size=1, max_size=4), st.integers(1, 40))
def test_the_size_of_the_pieces_makes_no_difference(messages, size):
    """Files are read in pieces; a line may be cut anywhere, also within a character."""
    content = RECORDING_HEAD + b"".join(map(recording_line, messages))
    reader = RecordingReader("r.jsonl")

    read = [one for at in range(0, len(content), size) for one in reader.feed(content[at : at + size])]
    read += reader.end()

    assert ([message for _, message in read], reader.problems) == read_whole_recording(content, "r.jsonl")


def test_every_truncation_costs_the_last_line_only():
    """A recorder may lose its power in the middle of a line."""
    content = RECORDING_HEAD + LINE + LINE
    for size in range(len(RECORDING_HEAD + LINE), len(content)):
        read, wrong = read_whole_recording(content[:size], "r.jsonl")

        cut = content[len(RECORDING_HEAD + LINE) : size]
        is_whole = cut.endswith(b"}")
        assert read == [ONE] * (2 if is_whole else 1)
        said = ["r.jsonl:3:1: warning: the last line was cut short, and is left out"]
        assert list(map(str, wrong)) == ([] if is_whole or not cut else said)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"21.5", "r.jsonl:2:1: expected object, got float"),
        (b'{"at":', "r.jsonl:2:1: this is not JSON: Input data was truncated"),
        (b'{"at": x}', "r.jsonl:2:8: this is not JSON: JSON is malformed: invalid character (byte 7)"),
        (LINE.replace(b'"topic":"a/b",', b""), "r.jsonl:2:1: the line has no 'topic'"),
        (LINE.replace(b"topic", b"topik"), "r.jsonl:2:63: unknown key 'topik'; did you mean 'topic'?"),
        (
            LINE.replace(b"payload", b"zzz"),
            "r.jsonl:2:77: unknown key 'zzz'; allowed: at, source, topic, payload, base64, qos, retained",
        ),
        (LINE.replace(b',"payload":"21.5"', b""), "r.jsonl:2:1: needs one of payload and base64"),
        (LINE.replace(b'"21.5"', b"21.5"), "r.jsonl:2:77: payload: expected str, got float"),
        (LINE.replace(b"payload", b"base64"), "r.jsonl:2:77: base64: this is none: only base64 data is allowed"),
        (LINE.replace(b"a/b", b"a/+"), "r.jsonl:2:63: topic: no message comes on a topic with '+'"),
        (LINE.replace(b"a/b", b""), "r.jsonl:2:63: topic: it has 0 bytes; allowed: 1 to 65535"),
        (LINE.replace(b"listen:1883", b""), "r.jsonl:2:40: source: it has 0 characters; allowed: 1 to 256"),
        (LINE.replace(b'"a/b"', b'"a/b","qos":3'), "r.jsonl:2:77: qos: 3 is not known; allowed: 0, 1, 2"),
        (LINE.replace(b"01Z", b"01"), "r.jsonl:2:2: at: '2026-01-01T00:00:00.000000001' is not a time in RFC 3339, "
         "such as 2026-01-01T00:00:00.000000000Z"),
        (LINE.replace(b"2026-01-01", b"2026-02-30"), "r.jsonl:2:2: at: '2026-02-30T00:00:00.000000001Z' is not a time: "
         "day is out of range for month"),
        (LINE.replace(b"2026-01-01", b"1969-01-01"), "r.jsonl:2:2: at: '1969-01-01T00:00:00.000000001Z' is out of "
         "range; allowed: 1970 to 2262"),
        (LINE.replace(b"1883", b"\xff"), "r.jsonl:2:1: this is not JSON: 'utf-8' codec can't decode byte 0xff in "
         "position 7: invalid start byte"),
        (b'{"at":"' + b"x" * MAX_LINE_BYTES + b'"}',
         "r.jsonl:2:1: the line is too long; allowed: 4194304 bytes (4MiB)"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_told_with_its_place_and_costs_no_other(line, problem):
    """Recordings are written by other tools, too, and cut with editors."""
    read, wrong = read_whole_recording(RECORDING_HEAD + line.rstrip(b"\n") + b"\n" + LINE, "r.jsonl")

    assert [str(one).lower() for one in wrong] == [problem.lower()]
    assert read == [ONE]


def test_what_is_no_recording_says_so_once():
    """The most frequent mistake is another file."""
    said = 'this is no recording: {}; it begins with {{"fieldgate":"recording","version":1}}'

    assert problems(b"") == ["r.jsonl:1:1: " + said.format("the file is empty")]
    assert problems(LINE + LINE) == ["r.jsonl:1:1: " + said.format("the first line does not say so")]
    assert problems(b"\x89PNG\r\n\x1a\n" * 3) == ["r.jsonl:1:1: " + said.format("the first line does not say so")]
    assert problems(RECORDING_HEAD.replace(b"1", b"2") + b"x\n") == [
        "r.jsonl:1:1: version 2 of recordings is not known; allowed: 1"
    ]


def test_a_file_says_what_it_is_with_its_first_line():
    """Commands that take several kinds of files look at that."""
    assert is_recording(RECORDING_HEAD + b"anything")
    assert is_recording(RECORDING_HEAD.replace(b"1", b"2"))
    assert not is_recording(LINE)
    assert not is_recording(b"")


def test_a_clock_that_was_set_back_makes_nothing_run_backwards():
    """The recorder's clock may have been wrong; the order of the lines is that in which it was heard."""
    earlier = LINE.replace(b"2026", b"2025")

    read, wrong = read_whole_recording(RECORDING_HEAD + LINE + earlier + LINE, "r.jsonl")

    assert [one.at_ns for one in read] == [AT_NS] * 3
    assert list(map(str, wrong)) == [
        "r.jsonl:3:1: warning: the time 2025-01-01T00:00:00.000000001Z lies before 2026-01-01T00:00:00.000000001Z of "
        "an earlier line, and counts as that"
    ]


def test_a_file_full_of_mistakes_is_not_read_to_its_end():
    """A file of gigabytes that is none must not make gigabytes of complaints."""
    reader = RecordingReader("r.jsonl")
    reader.feed(RECORDING_HEAD + b"x\n" * 1000)

    assert reader.is_over
    assert len(reader.problems) == 101
    assert str(reader.problems[-1]) == "r.jsonl:101:1: there may be more, which are not looked for"
    assert reader.feed(LINE) == []


def test_a_line_without_an_end_costs_no_memory():
    """The bound is the longest line, whatever the file."""
    reader = RecordingReader("r.jsonl")
    reader.feed(RECORDING_HEAD)
    for _ in range(MAX_LINE_BYTES // 65536 + 1):
        reader.feed(b"x" * 65536)

    assert reader.is_over
    assert [str(one) for one in reader.problems] == ["r.jsonl:2:1: the line is too long; allowed: 4194304 bytes (4MiB)"]


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600 * 10**9),
        ("2026-01-01t01:00:00.5+01:00", 1_767_225_600 * 10**9 + 500_000_000),
        ("2025-12-31 23:00:00.123456789-01:00", 1_767_225_600 * 10**9 + 123_456_789),
        ("1970-01-01T00:00:00Z", 0),
    ],
)
def test_times_are_exact_in_any_zone(text, at_ns):
    """RFC 3339 section 5.6 allows small letters, any number of digits and any zone."""
    assert read_rfc3339(text) == at_ns
    assert read_rfc3339(rfc3339(at_ns)) == at_ns


@given(st.integers(0, 2**63 - 1), st.integers(0, 120 * 10**9))
def test_the_quick_way_to_read_a_time_reads_the_same(at_ns, later_ns):
    """Lines within a minute share its reckoning."""
    times = [one for one in (at_ns, at_ns + later_ns // 2, at_ns + later_ns) if one < 2**63]
    content = RECORDING_HEAD + b"".join(recording_line(Heard(one, "s", "t", b"")) for one in times)

    assert [one.at_ns for one in read_whole_recording(content, "r.jsonl")[0]] == times
