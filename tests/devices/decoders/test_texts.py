"""CSV, pairs, forms, line protocol, patterns and single values."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from decoder_kit import Options, decoded, refused
from fieldgate_devices.decoders import make_decoder
from fieldgate_devices.decoders.limits import MAX_RECORDS

TEXT_DECODERS: list[tuple[str, Options]] = [
    ("csv", {}),
    ("key_value", {}),
    ("regex", {"pattern": "(?P<a>.+)"}),
    ("value", {}),
]


@pytest.mark.parametrize(("name", "options"), TEXT_DECODERS)
def test_a_text_is_utf_8_unless_it_is_said_to_be_latin_1(name: str, options: Options) -> None:
    """Row 72: what is not that text is refused, never guessed at; the raw bytes go to the dead letter."""
    assert "byte 0xb0 at position 6" in refused(name, b"a=21.5\xb0C", options)
    assert "°" in str(decoded(name, b"a=21.5\xb0C", {**options, "encoding": "latin-1"}))
    assert "a byte order mark" in refused(name, b"\xef\xbb\xbfa=1", options)
    assert "UTF-16" in refused(name, "a=1".encode("utf-16"), options)


@pytest.mark.parametrize(
    ("options", "payload", "records"),
    [
        ({}, b"21.5,40\n", [{"1": "21.5", "2": "40"}]),
        ({}, b"1,2\r\n3,4", [{"1": "1", "2": "2"}, {"1": "3", "2": "4"}]),
        ({"columns": ["t", None, "h"]}, b"1,x,2", [{"t": "1", "h": "2"}]),
        ({"columns": ["t", "h"]}, b"1,", [{"t": "1", "h": None}]),
        ({"header": True}, b"t, h\n1, 2\n", [{"t": "1", "h": "2"}]),
        ({"header": True}, b"t,,h\n1,2,3\n", [{"t": "1", "h": "3"}]),
        ({"header": True, "skip": 2}, b"Logger 5\n--\nt\n1\n", [{"t": "1"}]),
        ({"header": True, "skip": 1}, b'Log of "a\nt\n1\n', [{"t": "1"}]),
        ({"comment": "#"}, b"# hello\n1\n", [{"1": "1"}]),
        ({"comment": "//"}, b'// 5" pipe\n1\n\n // 2\n', [{"1": "1"}, {"1": "// 2"}]),
        ({"columns": ["t", "h"]}, b"\n,\n  \n1,2\n", [{"t": None, "h": None}, {"t": "1", "h": "2"}]),
        ({}, b"1\r2\r", [{"1": "1"}, {"1": "2"}]),
        ({}, b'"a, b","say ""hi"""\n', [{"1": "a, b", "2": 'say "hi"'}]),
        ({}, b'"two\nlines",1\n', [{"1": "two\nlines", "2": "1"}]),
        ({"quote": None}, b'5",6\n', [{"1": '5"', "2": "6"}]),
        ({"delimiter": ";", "decimal": ","}, b"21,5;-1,5e3;a,b\n", [{"1": "21.5", "2": "-1.5e3", "3": "a,b"}]),
        ({"delimiter": " "}, b"  21.5   40 \n", [{"1": "21.5", "2": "40"}]),
        ({"delimiter": "\t"}, b"1\t2\n", [{"1": "1", "2": "2"}]),
        ({"columns": ["a", "b"], "short_lines": True}, b"1\n2,3\n", [{"a": "1"}, {"a": "2", "b": "3"}]),
    ],
)
def test_csv(options: Options, payload: bytes, records: object) -> None:
    assert decoded("csv", payload, options) == records


@pytest.mark.parametrize(
    ("options", "payload", "reason"),
    [
        ({"columns": ["a"]}, b"1\n1,2\n", "line 2 has 2 values; 1 are expected: '1'"),
        ({"columns": ["a", "b"]}, b"1\n", "line 1 has 1 values; 2 are expected: '1'"),
        ({}, b'1,"2\n', "not CSV: unexpected end of data"),
        ({}, b'"a"b\n', "not CSV: ',' expected after '\"'"),
        ({"header": True}, b"a,a\n1,2\n", "the first line does not name the columns, or one name twice"),
        ({"header": True}, b"a,b\n", "the message holds no reading"),
        ({}, b"\n\n", "the message holds no reading"),
        ({}, b"\r" * 10_001, "the payload has more than 10000 lines"),
        ({"comment": "#"}, b"#\n" * 10_001, "the payload has more than 10000 lines"),
        ({}, b"1\n" * (MAX_RECORDS + 1), "the message holds more than 1000 readings"),
    ],
)
def test_csv_that_does_not_fit(options: Options, payload: bytes, reason: str) -> None:
    assert refused("csv", payload, options) == reason


@pytest.mark.parametrize(
    ("options", "payload", "record"),
    [
        ({}, b"t=21.5 h=40\n", {"t": "21.5", "h": "40"}),
        ({}, b"t=21.5, h=40; p=;x=&y=1", {"t": "21.5", "h": "40", "p": None, "x": None, "y": "1"}),
        ({}, b'name="a b, c" u="\\"q\\""', {"name": "a b, c", "u": '"q"'}),
        ({}, b"t = 1 h= 2", {"t": "1", "h": "2"}),
        ({}, b"t= h=2", {"t": None, "h": "2"}),
        ({}, b"a=b=c", {"a": "b=c"}),
        ({}, b"t=1\nh=2\n", {"t": "1", "h": "2"}),
        ({"equals": ":", "between": ";"}, b"Temp in: 21.5 C;Hum:40", {"Temp in": "21.5 C", "Hum": "40"}),
        ({"equals": "->"}, b"a-b->1 c->-2", {"a-b": "1", "c": "-2"}),
        ({"loose": True}, b"OK sensor7 t=1 end", {"t": "1"}),
        ({"decimal": ",", "between": " "}, b"t=21,5", {"t": "21.5"}),
        ({"quote": None}, b't="1"', {"t": '"1"'}),
    ],
)
def test_pairs(options: Options, payload: bytes, record: object) -> None:
    assert decoded("key_value", payload, options) == [record]


def test_pairs_line_by_line() -> None:
    assert decoded("key_value", b"a=1\n\na=2\n", {"lines": True}) == [{"a": "1"}, {"a": "2"}]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"OK t=1", "no name and '=' at character 0: 'OK t=1'"),
        (b"=1", "no name and '=' at character 0: '=1'"),
        (b"t=1 t=2", "'t' comes twice"),
        (b't="1', "the quote at character 2 is not closed"),
        (b" \n", "the message holds no reading"),
    ],
)
def test_pairs_that_are_none(payload: bytes, reason: str) -> None:
    assert refused("key_value", payload) == reason


def test_a_weather_stations_form() -> None:
    """As an Ecowitt console posts it."""
    payload = (
        b"PASSKEY=0123456789ABCDEF&stationtype=GW1100A_V2.1.4&dateutc=2022-05-30+10:17:44&tempinf=76.6&humidityin=36"
        b"&windspeedmph=2.68&model=GW1100A&note=caf%C3%A9&empty=\n"
    )

    record = decoded("form", payload)[0]

    assert record["dateutc"] == "2022-05-30 10:17:44"
    assert record["tempinf"] == "76.6"
    assert record["note"] == "café"
    assert record["empty"] is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"a=1&b", "no name and '=' in 'b'"),
        (b"=1", "no name and '=' in '=1'"),
        (b"a=%ff", "not UTF-8 when decoded: 'a=%ff'"),
        (b"a=1&%61=2", "'a' comes twice"),
        (b"&&", "the message holds no reading"),
        (b"a=1&" * 5_000, "the form has more than 4096 values"),
    ],
)
def test_a_form_that_is_none(payload: bytes, reason: str) -> None:
    assert refused("form", payload) == reason


@pytest.mark.parametrize(
    ("line", "record"),
    [  # examples of the reference of the line protocol
        (
            b'myMeasurement,tag1=value1,tag2=value2 fieldKey="fieldValue" 1556813561098000000',
            {
                "_measurement": "myMeasurement",
                "tag1": "value1",
                "tag2": "value2",
                "fieldKey": "fieldValue",
                "_time": 1556813561098000000,
            },
        ),
        (b"m v=1.0,w=-1.234456e+78", {"_measurement": "m", "v": 1.0, "w": -1.234456e78}),
        (b"m a=1i,b=12485903i,c=-3i,d=1u", {"_measurement": "m", "a": 1, "b": 12485903, "c": -3, "d": 1}),
        (b"m a=true,b=F", {"_measurement": "m", "a": True, "b": False}),
        (b'my\\ Measurement f="string value"', {"_measurement": "my Measurement", "f": "string value"}),
        (b'm f="\\"string\\" within, a\\\\b"', {"_measurement": "m", "f": '"string" within, a\\b'}),
        (b"m,tag\\ Key1=tag\\,Value1 f=1", {"_measurement": "m", "tag Key1": "tag,Value1", "f": 1.0}),
        (
            b'm,k=\xf0\x9f\x8d\xad f="L\xc3\xa5unch" 1',
            {"_measurement": "m", "k": "\N{LOLLIPOP}", "f": "Låunch", "_time": 1},
        ),
    ],
)
def test_line_protocol(line: bytes, record: object) -> None:
    assert decoded("influx", b"# a comment\n" + line + b"\r\n\n") == [record]


def test_each_line_of_line_protocol_is_a_reading() -> None:
    assert len(decoded("influx", b"m a=1\nm a=2\n")) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"m", "a blank and fields is missing at character 1: ''"),
        (b"m a", "no '=' after 'a' at character 3"),
        (b"m a=", "a value is missing at character 4: ''"),
        (b"m a=hello", "no value at character 4: 'hello'"),
        (b"m a=NaN", "no value at character 4: 'NaN'"),
        (b"m a=1e999", "no value at character 4: '1e999'"),
        (b"m a=1 x", "the end of the line is missing at character 5: ' x'"),
        (b"m,a=1 a=2", "'a' comes twice in one line"),
        (b'm a="x', "no value at character 4: '\"x'"),
        (b",a=1 b=2", "a measurement is missing at character 0: ',a=1 b=2'"),
    ],
)
def test_line_protocol_that_is_none(line: bytes, reason: str) -> None:
    assert refused("influx", line) == reason


def test_a_pattern_names_what_it_finds() -> None:
    pattern = r"T=(?P<t>-?[0-9.]+)(?: H=(?P<h>[0-9]+))?"

    assert decoded("regex", b"dev T=21.5 H=40 ok", {"pattern": pattern}) == [{"t": "21.5", "h": "40"}]
    assert decoded("regex", b"T=1 T=2 H=3", {"pattern": pattern, "matches": "all"}) == [
        {"t": "1", "h": None},
        {"t": "2", "h": "3"},
    ]


def test_a_pattern_may_look_at_each_line() -> None:
    options: Options = {"pattern": r"^T(?P<t>\d+)$", "matches": "lines"}

    assert decoded("regex", b"T1\r\nT2\n\n", options) == [{"t": "1"}, {"t": "2"}]
    assert refused("regex", b"T1\nboot\n", options) == "no match in line 2: 'boot'"
    assert decoded("regex", b"T1\nboot\n", {**options, "others": "ignore"}) == [{"t": "1"}]


def test_a_pattern_that_matches_nothing_at_a_place_goes_on() -> None:
    assert len(decoded("regex", "é1é".encode(), {"pattern": r"(?P<d>\d*)", "matches": "all"})) == 4
    assert refused("regex", b"abc", {"pattern": r"(?P<d>\d)"}) == "no match in 'abc'"


def test_a_payload_that_a_pattern_could_take_too_long_for_is_refused() -> None:
    """RE2 is linear, but a megabyte times a thousand instructions is minutes (row 74's neighbour)."""
    options: Options = {"pattern": r"(?P<a>[ab]*a[ab]{400})(?P<b>c)"}

    assert decoded("regex", b"a" * 900 + b"c", options)
    assert "too long for this pattern" in refused("regex", b"ab" * 20_000, options)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?P<a>", "is no regular expression of RE2: missing )"),
        (r"(?P<a>x)\1", "is no regular expression of RE2"),
        (r"(?P<a>x(?=y))", "is no regular expression of RE2"),
        (r"\d+", "has no named group"),
        (r"(?P<a>[a-z]{1000})(?P<b>[a-z]{1000})x", "makes a program of 20"),
        (r"(?P<a>\pL{1000})", "is no regular expression of RE2: pattern too large"),
        ("(?P<a>" + "x" * 1_000 + ")", "at most 1000 characters"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_when_it_is_written(pattern: str, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_decoder("regex", {"pattern": pattern})

    assert problem in str(caught.value)


def test_a_topic_can_name_the_value() -> None:
    """One topic per value: home/kitchen/temperature, 21.5."""
    options: Options = {"name": "{sensor}"}

    assert decoded("value", b" 21.5\r\n", options, sensor="temperature") == [{"temperature": "21.5"}]
    assert refused("value", b"21.5", options) == "the topic has no part 'sensor', which names the value"
    assert decoded("value", b"21,5", {"decimal": ","}) == [{"value": "21.5"}]
    assert refused("value", b" \n") == "the payload holds blanks only"


def test_a_value_may_be_json() -> None:
    assert decoded("value", b"21.5", {"format": "json"}) == [{"value": 21.5}]
    assert decoded("value", b'"on"', {"format": "json"}) == [{"value": "on"}]
    assert refused("value", b"[1]", {"format": "json"}) == "one value is expected, not '[1]'"
    assert not make_decoder("value", {"format": "json"}).is_text
    assert make_decoder("value").is_text


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b" 21.5\n", 21.5),
        (b"true", True),
        (b"null", None),
        (b"open", "open"),
        (b"0012", "0012"),
        (b"1e400", "1e400"),
        (b"2023-01-01 10:00:00", "2023-01-01 10:00:00"),
        (b'{"motion": false}', {"motion": False}),
        (b"[1]", [1]),
    ],
)
def test_a_value_may_be_anything(payload: bytes, value: object) -> None:
    """Devices with a topic per value send numbers, words and small objects in the same way."""
    assert decoded("value", payload, {"name": "{what}", "format": "any"}, what="state") == [{"state": value}]


def test_what_begins_like_json_must_be_it() -> None:
    assert "not JSON" in refused("value", b'{"motion": fal', {"format": "any"})
    assert refused("value", b" ", {"format": "any"}) == "the payload holds blanks only"
    assert refused("value", b"\xff\xfe", {"format": "any"}).startswith("the payload begins with the byte order mark")
    assert make_decoder("value", {"format": "any"}).is_text


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("csv", {"header": True, "columns": ["a"]}, "either header: true or columns"),
        ("csv", {"columns": ["a", "a"]}, "names one column twice"),
        ("csv", {"decimal": ","}, "needs another delimiter"),
        ("csv", {"delimiter": "\n"}, "a character of its own"),
        ("csv", {"short_lines": True}, "short_lines needs columns"),
        ("regex", {"pattern": "(?P<a>x)", "others": "ignore"}, "needs matches: lines"),
        ("value", {"format": "json", "decimal": ","}, "are for format: text"),
        ("value", {"format": "any", "encoding": "latin-1"}, "are for format: text"),
        ("json", {"key": "k"}, "key needs each"),
        ("cbor", {"shared": False}, "shared needs each"),
        ("csv", {"quote": " "}, "a character that can be seen"),
        ("csv", {"delimiter": "ab"}, "at most 1 character"),
        ("key_value", {"equals": " "}, "have a character in common"),
        ("key_value", {"equals": '"'}, "neither the quote nor the end of a line"),
        ("key_value", {"decimal": ","}, "needs a between without ','"),
        ("value", {"name": "{a b}"}, "a brace without a name"),
        ("value", {"nmae": "x"}, "Extra inputs"),
    ],
)
def test_options_that_contradict_each_other_are_refused(name: str, options: Options, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_decoder(name, options)

    assert problem in str(caught.value)
