"""SenML: the examples of RFC 8428, section 5, in both forms."""

from __future__ import annotations

import json

import cbor2
import pytest

from decoder_kit import Options, decoded, refused

LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2}
LABELS |= {"vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8}

ONE = [{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}]  # 5.1.1
TWO = [  # 5.1.2
    {"bn": "urn:dev:ow:10e2073a01080063:", "n": "voltage", "u": "V", "v": 120.1},
    {"n": "current", "u": "A", "v": 1.2},
]
TIMES = [  # 5.1.2
    {
        "bn": "urn:dev:ow:10e2073a0108006:",
        "bt": 1.276020076001e09,
        "bu": "A",
        "bver": 5,
        "n": "voltage",
        "u": "V",
        "v": 120.1,
    },
    {"n": "current", "t": -5, "v": 1.2},
    {"n": "current", "t": -4, "v": 1.3},
    {"n": "current", "v": 1.7},
]
ONE_NAME = [  # 5.1.3
    {"bn": "urn:dev:ow:10e2073a01080063", "bt": 1.320067464e09, "bu": "%RH", "v": 20},
    {"u": "lon", "v": 24.30621},
    {"u": "lat", "v": 60.07965},
    {"t": 60, "v": 20.3},
]
KINDS = [  # 5.1.4
    {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
    {"n": "label", "vs": "Machine Room"},
    {"n": "open", "vb": False},
    {"n": "nfc-reader", "vd": "aGkgCg"},
]
COLLECTION = [  # 5.1.5
    {"bn": "2001:db8::2/", "bt": 1.320078429e09, "n": "temperature", "u": "Cel", "v": 25.2},
    {"n": "humidity", "u": "%RH", "v": 30},
    {"bn": "2001:db8::1/", "n": "temperature", "u": "Cel", "v": 12.3},
    {"n": "humidity", "u": "%RH", "v": 67},
]


def in_cbor(pack: list[dict[str, object]]) -> bytes:
    return cbor2.dumps(
        [{LABELS[label]: b"hi \n" if label == "vd" else value for label, value in entry.items()} for entry in pack]
    )


@pytest.mark.parametrize(
    ("pack", "options", "records"),
    [
        (
            ONE,
            {"device": "name"},
            [{"bn": "urn:dev:ow:10e2073a01080063", "bt_relative": 0, "bu": {"value": "Cel"}, "value": 23.1}],
        ),
        (
            TWO,
            {},
            [
                {
                    "bn": "urn:dev:ow:10e2073a01080063",
                    "bt_relative": 0,
                    "bu": {"voltage": "V", "current": "A"},
                    "voltage": 120.1,
                    "current": 1.2,
                }
            ],
        ),
        (
            TIMES,
            {},
            [
                {
                    "bn": "urn:dev:ow:10e2073a0108006",
                    "bt": 1276020076.001,
                    "bu": {"voltage": "V", "current": "A"},
                    "voltage": 120.1,
                    "current": 1.7,
                },
                {"bn": "urn:dev:ow:10e2073a0108006", "bt": 1276020071.001, "bu": {"current": "A"}, "current": 1.2},
                {"bn": "urn:dev:ow:10e2073a0108006", "bt": 1276020072.001, "bu": {"current": "A"}, "current": 1.3},
            ],
        ),
        (
            KINDS,
            {},
            [
                {
                    "bn": "urn:dev:ow:10e2073a01080063",
                    "bt_relative": 0,
                    "bu": {"temp": "Cel"},
                    "temp": 23.1,
                    "label": "Machine Room",
                    "open": False,
                    "nfc-reader": b"hi \n",
                }
            ],
        ),
        (
            COLLECTION,
            {},
            [
                {
                    "bn": "2001:db8::2",
                    "bt": 1320078429.0,
                    "bu": {"temperature": "Cel", "humidity": "%RH"},
                    "temperature": 25.2,
                    "humidity": 30,
                },
                {
                    "bn": "2001:db8::1",
                    "bt": 1320078429.0,
                    "bu": {"temperature": "Cel", "humidity": "%RH"},
                    "temperature": 12.3,
                    "humidity": 67,
                },
            ],
        ),
    ],
    ids=["one", "two", "times", "kinds", "collection"],
)
def test_the_examples_of_the_standard(
    pack: list[dict[str, object]], options: Options, records: list[dict[str, object]]
) -> None:
    assert decoded("senml", json.dumps(pack).encode(), options) == records
    assert decoded("senml", in_cbor(pack), options) == records


def test_the_cbor_example_of_the_standard() -> None:
    """Section 6 has it as bytes, so the labels are not ours."""
    payload = bytes.fromhex(
        "87a721781b75726e3a6465763a6f773a313065323037336130313038303036"
        "3a22fb41d303a15b00106223614120050067766f6c7461676501615602fb"
        "405e066666666666a3006763757272656e74062402fb3ff3333333333333"
        "a3006763757272656e74062302fb3ff4cccccccccccda3006763757272656e"
        "74062202fb3ff6666666666666a3006763757272656e74062102f93e00a3"
        "006763757272656e74062002fb3ff999999999999aa3006763757272656e"
        "74060002fb3ffb333333333333"
    )

    records = decoded("senml", payload)

    assert [record.get("current") for record in records] == [1.7, 1.2, 1.3, 1.4, 1.5, 1.6]
    assert records[0]["voltage"] == 120.1
    assert {record["bn"] for record in records} == {"urn:dev:ow:10e2073a0108006"}
    assert records[1]["bt"] == 1276020071.001


def test_one_name_with_several_units_at_one_time_is_refused() -> None:
    """Section 5.1.3 gives latitude and longitude one name; a record can hold only one of them."""
    assert refused("senml", json.dumps(ONE_NAME).encode()) == "record 2: 'value' comes twice for one device and time"


def test_the_device_may_be_all_but_the_last_part_of_a_name() -> None:
    pack = json.dumps([{"n": "urn:dev:ow:10e2:temp", "v": 1}, {"n": "urn:dev:ow:10e2:hum", "v": 2}]).encode()

    assert decoded("senml", pack, {"device": "all_but_last"}) == [
        {"bn": "urn:dev:ow:10e2", "bt_relative": 0, "temp": 1, "hum": 2}
    ]


def test_base_values_and_sums_are_added() -> None:
    """Section 4.6; a base value counts for numbers only, a missing sum is 0."""
    pack = [
        {"bn": "d:", "bt": 1e9, "bv": 20, "bs": 100, "n": "a", "v": 1.5, "s": 5},
        {"n": "b", "vs": "x"},
        {"n": "c", "s": 7},
    ]

    assert decoded("senml", json.dumps(pack).encode()) == [
        {"bn": "d", "bt": 1e9, "bs": {"a": 105, "b": 100, "c": 107}, "a": 21.5, "b": "x", "c": None}
    ]


def test_a_record_may_only_say_what_others_share() -> None:
    pack = [{"bn": "d:", "bt": 1e9, "bver": 10}, {"n": "a", "v": 1}]

    assert decoded("senml", json.dumps(pack).encode()) == [{"bn": "d", "bt": 1e9, "a": 1}]


def test_a_time_from_now_is_kept_as_such() -> None:
    """Section 4.5.3: below 2^28 a time is relative, and a decoder has no clock."""
    pack = json.dumps([{"n": "a", "v": 1, "t": -10}]).encode()

    assert decoded("senml", pack, {"device": "name"}) == [{"bn": "a", "bt_relative": -10, "value": 1}]


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        ("{}", "a SenML pack is a list of records"),
        ("[]", "a SenML pack is a list of records"),
        ("[1]", "record 1: it is no object"),
        ('[{"n":"a"}]', "record 1: it has neither a value nor a sum"),
        ('[{"n":"a","v":1,"vs":"x"}]', "record 1: it has more than one value (v, vs)"),
        ('[{"v":1}]', "record 1: it has no name"),
        ('[{"n":"a b","v":1}]', "record 1: 'a b' is no SenML name"),
        ('[{"n":"_a","v":1}]', "record 1: '_a' is no SenML name"),
        ('[{"n":1,"v":1}]', "record 1: n is of the wrong type"),
        ('[{"n":"a","v":"1"}]', "record 1: v is of the wrong type"),
        ('[{"n":"a","v":true}]', "record 1: v is of the wrong type"),
        ('[{"n":"a","vb":1}]', "record 1: vb is neither true nor false"),
        ('[{"n":"a","vd":"*"}]', "record 1: vd is not base64: '*'"),
        ('[{"n":"a","vd":5}]', "record 1: vd is of the wrong type"),
        ('[{"n":"a","v":1,"bver":11}]', "record 1: version '11' of SenML is not known; 10 is"),
        ('[{"n":"a","v":1,"x_":1}]', "record 1: 'x_' must be understood and is not known"),
        ('[{"n":"a","v":1},{"n":"a","v":2}]', "record 2: 'value' comes twice"),
        ('[{"n":"a","v":1,"0":"b"}]', "record 1: a label comes twice"),
    ],
)
def test_what_is_no_pack_is_refused(pack: str, reason: str) -> None:
    options = {"device": "name"} if "a" in pack else {}

    assert reason in refused("senml", pack.encode(), options)


@pytest.mark.parametrize("label", ["bn", "bt", "bt_relative", "bu", "bs"])
def test_a_value_that_is_called_like_a_label_of_the_record_is_refused(label: str) -> None:
    """Which of the two is meant could not be told."""
    pack = json.dumps([{"bn": "d:", "n": label, "v": 1}]).encode()

    assert refused("senml", pack) == f"record 1: {label!r} is the name of a value"
