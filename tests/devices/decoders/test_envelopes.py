"""JSON in envelopes, JSON in texts, payloads that are JSON only sometimes, and sums with a constant."""

from __future__ import annotations

import pytest

from decoder_kit import decoded, refused


@pytest.mark.parametrize(
    ("options", "payload", "record"),
    [
        ({"unwrap": ["p"]}, b'{"p":{"a":1},"b":2}', {"a": 1, "b": 2}),
        ({"unwrap": ["p"]}, b'{"p":{"a":1},"a":2}', {"a": 1}),
        ({"unwrap": ["p.q"]}, b'{"p":{"q":{"a":1},"r":2}}', {"a": 1, "p": {"r": 2}}),
        ({"unwrap": ["p"]}, b'{"p":5}', {"p": 5}),
        ({"unwrap": ["p"]}, b'{"b":2}', {"b": 2}),
        ({"texts": ["j"]}, b'{"j":"{\\"a\\":[1]}"}', {"j": {"a": [1]}}),
        ({"texts": ["l[1].j"]}, b'{"l":[0,{"j":"5"}]}', {"l": [0, {"j": 5}]}),
        ({"texts": ["j"]}, b'{"j":"no json"}', {"j": "no json"}),
        ({"texts": ["j"]}, b'{"j":"{\\"a\\":1,\\"a\\":2}"}', {"j": '{"a":1,"a":2}'}),
        ({"or_text": True}, b" Online\r\n", {"value": "Online"}),
        ({"or_text": True}, b"21.5", {"value": 21.5}),
        ({"or_text": True}, b'{"a":1}', {"a": 1}),
        ({"whole": True}, b'[{"a":1},{"a":2}]', {"value": [{"a": 1}, {"a": 2}]}),
    ],
)
def test_the_message_is_what_the_options_say(options, payload, record):
    assert decoded("json", payload, options) == [record]


@pytest.mark.parametrize(
    ("options", "payload", "reason"),
    [
        ({"or_text": True}, b'{"a":', "not JSON"),
        ({"or_text": True}, b"\xff", "not UTF-8"),
        ({"or_text": True}, b"  ", "blanks"),
        ({"texts": ["j"]}, b'{"j":' * 31 + b'"[[1]]"' + b"}" * 31, ""),
    ],
)
def test_damage_is_still_damage(options, payload, reason):
    if reason:
        assert reason in refused("json", payload, options)
    else:
        assert decoded("json", payload, options)


def test_a_text_does_not_lead_deeper_than_any_message():
    """Each of the two may be as deep as is allowed; together they may not."""
    deep = "[" * 31 + "]" * 31
    assert "nested deeper" in refused("json", ('{"a":{"b":"' + deep + '"}}').encode(), {"texts": ["a.b"]})


def test_a_sum_may_have_a_constant():
    """Ruuvi's pressure begins at 500 hPa; the sign comes before what is added."""
    layout = [
        {"name": "_p", "type": "u8"},
        {"name": "_minus", "type": "u8"},
        {"sum": "p", "of": {"_p": 1}, "plus": 500, "negative": "_minus"},
        {"sum": "q", "of": {"_p": 0.5}, "plus": 0.25},
    ]

    assert decoded("binary", b"\x03\x00", {"layout": layout}) == [{"p": 503, "q": 1.75}]
    assert decoded("binary", b"\x03\x01", {"layout": layout}) == [{"p": 497, "q": 1.75}]
