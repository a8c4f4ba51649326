"""A decoder in a profile: mistakes in its options stand at their place, all at once, each once."""

from __future__ import annotations

import pytest

from fieldgate_devices.reading import read_profile

HEAD = 'profile: a\nversion: 1\nmatch: {mqtt: "r/{device}/{sensor}"}\nfields: {t: {type: float}}\n'

TYPES = (
    "is not a type; allowed: u1 to u64, i2 to i64, f16, f32, f64, bool, bytesN, textN, hexN (N bytes), bcdN (N "
    "digits); le or be after the size of a number"
)
UNEVEN = "decode: {binary: {layout: [{name: t, type: u8}, {repeat: rest, layout: [{name: u, type: u3}, {at: 0}]}]}}\n"
NESTED = """decode:
  binary:
    byte_ordr: big
    layout:
      - {name: f, type: u8}
      - {name: t, type: i99}
      - {name: x, typ: u8}
      - {choose: f, when: {1: [{name: q, type: u999}]}}
"""


@pytest.mark.parametrize(
    ("decode", "problems"),
    [
        (
            NESTED,
            [
                "p.yaml:7:5: unknown key 'byte_ordr'; did you mean 'byte_order'?",
                f"p.yaml:10:25: type: 'i99' {TYPES}",
                "p.yaml:11:19: unknown key 'typ'; did you mean 'type'?",
                f"p.yaml:12:48: type: 'u999' {TYPES}",
            ],
        ),
        (
            UNEVEN,
            ["p.yaml:5:27: layout: the fields before item 2, item 2 (at) make 3 bits, no whole bytes; add {skip: u5}"],
        ),
        (
            'decode: {csv: {columns: [t, null], decimal: ","}}\n',
            ["p.yaml:5:15: decimal ',' needs another delimiter, such as ';'"],
        ),
        (
            'decode: {regex: {pattern: "(?P<t>"}}\n',
            ["p.yaml:5:27: pattern: '(?P<t>' is no regular expression of RE2: missing ): (?P<t>"],
        ),
        (
            "decode: {json: {of: a..b}}\n",
            [
                "p.yaml:5:21: of: 'a..b' is not a path; write names parted by dots, such as sensors.flow:0, list[0].t "
                'or "a.b".c'
            ],
        ),
        ("decode: binry\n", ["p.yaml:5:9: unknown decoder 'binry'; did you mean 'binary'?"]),
        ("decode: binary\n", ["p.yaml:5:9: the decoder binary has no 'layout'"]),
    ],
)
def test_mistakes_in_options_stand_at_their_place(decode: str, problems: list[str]) -> None:
    reading = read_profile((HEAD + decode).encode(), "p.yaml")

    assert [f"{problem.where}: {problem.message}" for problem in reading.problems] == problems


@pytest.mark.parametrize(
    ("decode", "example"),
    [
        ("{csv: {columns: [t, null]}}", "{in: '21.5,x', out: {t: 21.5}}"),
        ("{value: {name: t}}", "{in: '21.5', out: {t: 21.5}}"),
        ("{binary: {layout: [{name: t, type: i16}]}}", "{in_hex: ffff, out: {t: -1.0}}"),
        ("cbor", "{in_hex: a16174f93e00, out: {t: 1.5}}"),
        ("senml", """{in: '[{"bn":"d1:","n":"t","v":1.5}]', out: {t: 1.5}}"""),
    ],
)
def test_examples_of_a_profile_go_through_its_decoder(decode: str, example: str) -> None:
    content = f"{HEAD}decode: {decode}\nexamples:\n  - {example.replace('{in', '{topic: r/d1/t, in', 1)}\n"

    assert read_profile(content.encode(), "p.yaml").problems == []
