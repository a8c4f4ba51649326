"""For tests of decoders: decode or be refused, and samples of every format."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from fieldgate_devices.decoders import Record, Undecodable, Value, make_decoder
from fieldgate_devices.decoders.limits import MAX_DEPTH, MAX_RECORDS, MAX_VALUES

Options = Mapping[str, object]

RUUVI_5: Options = {
    "layout": [
        {"name": "data_format", "type": "u8", "equals": 5},
        {"name": "temperature", "type": "i16"},
        {"name": "humidity", "type": "u16"},
        {"name": "pressure", "type": "u16"},
        {"name": "acceleration_x", "type": "i16"},
        {"name": "acceleration_y", "type": "i16"},
        {"name": "acceleration_z", "type": "i16"},
        {"name": "battery", "type": "u11"},
        {"name": "tx_power", "type": "u5"},
        {"name": "movements", "type": "u8"},
        {"name": "sequence", "type": "u16"},
        {"name": "mac", "type": "hex6"},
    ]
}
RUUVI_3: Options = {
    "layout": [
        {"name": "data_format", "type": "u8", "equals": 3},
        {"name": "humidity", "type": "u8"},
        {"name": "_sign", "type": "u1"},
        {"name": "_whole", "type": "u7"},
        {"name": "_hundredths", "type": "u8"},
        {"sum": "temperature", "of": {"_whole": 1, "_hundredths": 0.01}, "negative": "_sign"},
        {"name": "pressure", "type": "u16"},
        {"name": "acceleration_x", "type": "i16"},
        {"name": "acceleration_y", "type": "i16"},
        {"name": "acceleration_z", "type": "i16"},
        {"name": "battery", "type": "u16"},
    ]
}
CAYENNE: Options = {
    "layout": [
        {
            "repeat": "rest",
            "layout": [
                {"name": "_channel", "type": "u8"},
                {"name": "_type", "type": "u8"},
                {
                    "choose": "_type",
                    "when": {
                        0: [{"name": "digital_{_channel}", "type": "u8"}],
                        103: [{"name": "temperature_{_channel}", "type": "i16"}],
                        104: [{"name": "humidity_{_channel}", "type": "u8"}],
                        113: [
                            {"name": "x_{_channel}", "type": "i16"},
                            {"name": "y_{_channel}", "type": "i16"},
                            {"name": "z_{_channel}", "type": "i16"},
                        ],
                        136: [
                            {"name": "latitude_{_channel}", "type": "i24"},
                            {"name": "longitude_{_channel}", "type": "i24"},
                            {"name": "altitude_{_channel}", "type": "i24"},
                        ],
                    },
                },
            ],
        }
    ]
}
READINGS: Options = {
    "byte_order": "little",
    "nan": "absent",
    "layout": [
        {"name": "version", "type": "u4"},
        {"name": "flags", "type": "u4"},
        {"name": "count", "type": "u8"},
        {"name": "label_length", "type": "u8"},
        {"name": "label", "type": "text", "length": "label_length"},
        {
            "repeat": "count",
            "records": True,
            "layout": [{"name": "at", "type": "u32be"}, {"name": "t", "type": "f32"}, {"name": "n", "type": "bcd2"}],
        },
        {"optional": [{"name": "battery", "type": "u8"}]},
    ],
}
TELEGRAM = (
    b"/ISk5\\2MT382-1000\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(101209113020W)\r\n"
    b"0-0:96.1.1(4B384547303034303436333935353037)\r\n1-0:1.8.1(123456.789*kWh)\r\n1-0:1.8.2(123456.789*kWh)\r\n"
    b"1-0:2.8.1(123456.789*kWh)\r\n1-0:2.8.2(123456.789*kWh)\r\n0-0:96.14.0(0002)\r\n1-0:1.7.0(01.193*kW)\r\n"
    b"1-0:2.7.0(00.000*kW)\r\n0-0:96.7.21(00004)\r\n0-0:96.7.9(00002)\r\n"
    b"1-0:99.97.0(2)(0-0:96.7.19)(101208152415W)(0000000240*s)(101208151004W)(0000000301*s)\r\n"
    b"1-0:32.32.0(00002)\r\n1-0:52.32.0(00001)\r\n1-0:72.32.0(00000)\r\n1-0:32.36.0(00000)\r\n1-0:52.36.0(00003)\r\n"
    b"1-0:72.36.0(00000)\r\n"
    b"0-0:96.13.0(303132333435363738393A3B3C3D3E3F303132333435363738393A3B3C3D3E3F303132333435363738393A3B3C3D3E3F"
    b"303132333435363738393A3B3C3D3E3F303132333435363738393A3B3C3D3E3F)\r\n1-0:32.7.0(220.1*V)\r\n1-0:52.7.0(220.2*V)\r\n1-0:72.7.0(220.3*V)\r\n"
    b"1-0:31.7.0(001*A)\r\n1-0:51.7.0(002*A)\r\n1-0:71.7.0(003*A)\r\n1-0:21.7.0(01.111*kW)\r\n1-0:41.7.0(02.222*kW)\r\n"
    b"1-0:61.7.0(03.333*kW)\r\n1-0:22.7.0(04.444*kW)\r\n1-0:42.7.0(05.555*kW)\r\n1-0:62.7.0(06.666*kW)\r\n"
    b"0-1:24.1.0(003)\r\n0-1:96.1.0(3232323241424344313233343536373839)\r\n0-1:24.2.1(101209112500W)(12785.123*m3)\r\n"
    b"!E47C\r\n"
)
NMEA = (
    b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
    b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n"
    b"$GPGSV,2,1,08,01,40,083,46,02,17,308,41,12,07,344,39,14,22,228,45*75\r\n"
)
SML_FILE = bytes.fromhex(  # Holley DTZ541
    "760400000162006200726500000101760101070000017162A80B0A01484C5902000D6BE672620165017162A801638C8800760400000262"
    "0062007265000007017707FFFFFFFFFFFF0B0A01484C5902000D6BE6070100620AFFFF72620165017162A8747707010060320101010101"
    "0104484C590177070100600100FF010101010B0A01484C5902000D6BE60177070100010800FF65001C010472620165017162A8621E52FF"
    "6501677C7A0177070100100700FF0101621B520053017801010163764D00760400000362006200726500000201710163E82300"
)
SML_ON_THE_WIRE = bytes.fromhex(  # ISKRA MT175
    "1B1B1B1B0101010176050F1A20606200620072630101760101050508B5760B090149534B000403DF63010163C4BA0076050F1A20616200"
    "62007263070177010B090149534B000403DF63070100620AFFFF7262016507AFF5DC7A77078181C78203FF010101010449534B01770701"
    "00000009FF010101010B090149534B000403DF630177070100010800FF650000018201621E52FF59000000000D637E0801770701000108"
    "01FF0101621E52FF59000000000D637E080177070100010802FF0101621E52FF5900000000000000000177070100100700FF0101621B52"
    "0055000000A80177070100240700FF0101621B520055000000750177070100380700FF0101621B5200550000001601770701004C0700FF"
    "0101621B5200550000001D0177078181C78205FF0101010183020C2DE05C56024E1CD45280F4A0769A95E629CAE205C55C9F1683CA5419"
    "778E1D9BCFA1C577A6B36A92709EBF05EA21BD01010163291C0076050F1A206262006200726302017101630054001B1B1B1B1A00AE84"
)

SAMPLES: list[tuple[str, Options, bytes]] = [
    ("json", {}, b'{"t": 21.5, "s": {"a": [1, true, null, "\\u00e9"]}}'),
    ("json", {"each": "s", "key": "k"}, b'{"t":1,"s":[{"a":1},{"a":2}]}'),
    ("json", {"lines": True}, b'{"a":1}\n{"a":2}\n'),
    ("csv", {"header": True, "comment": "#"}, b'# log\na,b\n1,"2,5"\n3,4\n'),
    ("csv", {"delimiter": " ", "decimal": ",", "columns": ["a", None, "c"], "short_lines": True}, b"1,5  x 3\n4\n"),
    ("key_value", {}, b'temp=21.5, hum=40 name="a \\" b"\nx = 1'),
    ("key_value", {"equals": ":", "between": ";", "loose": True, "lines": True}, b"hello;a:1;b: x y\nc:3\n"),
    ("form", {}, b"PASSKEY=AB&tempf=70.1&x=a+b%C3%A9"),
    ("influx", {}, b'w,site=a\\ b t=21.5,fan=t,n=3i,s="x, \\"y\\"" 1700000000000000000\n# no\nw a=1\n'),
    ("regex", {"pattern": r"(?P<k>[a-z]+)=(?P<v>[0-9.]+)( (?P<u>[A-Z]))?", "matches": "all"}, b"t=21.5 C h=40\n"),
    ("regex", {"pattern": r"T(?P<t>-?[0-9]+)", "matches": "lines", "others": "ignore"}, b"T1\nT-2\nx\n"),
    ("value", {"name": "{sensor}"}, b" 21.5\n"),
    ("value", {"format": "json"}, b'"on"'),
    ("binary", RUUVI_5, bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")),
    ("binary", RUUVI_3, bytes.fromhex("03291A1ECE1EFC18F94202CA0B53")),
    ("binary", CAYENNE, bytes.fromhex("03670110056700FF0671FB2E04D20000")),
    ("binary", READINGS, bytes.fromhex("1202026162000000010000803f12000000020000c07f3464")),
    ("cbor", {}, bytes.fromhex("a46161016162820203616319010061641b000000e8d4a51000")),
    ("cbor", {"sequence": True, "nan": "absent"}, bytes.fromhex("a10102f97e00c1fb41d452d9e20000009f0102ff")),
    ("msgpack", {}, bytes.fromhex("83a16101a16293020304a163cb3ff8000000000000")),
    (
        "msgpack",
        {"sequence": True, "nan": "absent"},
        bytes.fromhex("8101a178d6ff5bf3f300c7030a010203cb7ff8000000000000"),
    ),
    (
        "senml",
        {},
        b'[{"bn":"urn:dev:ow:10e2073a01080063:","bt":1.276020076e9,"n":"v","u":"V","v":120.1},{"n":"c","v":1}]',
    ),
    (
        "senml",
        {"device": "all_but_last"},
        bytes.fromhex("82a22165612f622f632201a30062642f02f93c0006fbc014000000000000"),
    ),
    ("nmea", {}, NMEA),
    ("nmea", {"merge": True, "checksum": "optional"}, NMEA),
    ("dsmr", {}, TELEGRAM),
    ("dsmr", {"version": "dsmr4", "checksum": "optional"}, TELEGRAM[: TELEGRAM.rindex(b"!") + 1]),
    ("sml", {}, SML_ON_THE_WIRE),
    ("sml", {}, SML_FILE),
    ("sml", {"checksum": "messages"}, SML_FILE),
    ("json", {"of": "d.p", "text": "base64", "around": "m"}, b'{"d":{"p":"eyJhIjoxfQ"},"n":1}'),
    ("json", {"text": "hex", "compression": "zlib"}, b"789cab56 4a54b232 ac050008 2a0209"),
]


def decoded(name: str, payload: bytes, options: Options | None = None, **captures: str) -> list[Record]:
    """What the decoder makes of the payload, which is held to what all decoders promise."""
    records = make_decoder(name, options).decode(payload, captures)
    check_records(records)
    return records


def refused(name: str, payload: bytes, options: Options | None = None, **captures: str) -> str:
    """Why the decoder refuses the payload."""
    with pytest.raises(Undecodable) as caught:
        make_decoder(name, options).decode(payload, captures)
    check_reason(caught.value)
    return caught.value.reason


def check_reason(error: Undecodable) -> None:
    """A reason is a short line that can be shown and stored."""
    assert 0 < len(error.reason) <= 400
    assert "\n" not in error.reason
    error.reason.encode()


def check_records(records: object) -> None:
    """Plain values, within the limits, that can be stored and sent."""
    assert type(records) is list
    assert 0 < len(records) <= MAX_RECORDS
    for record in records:
        assert type(record) is dict
        assert _check(record, depth=0) <= MAX_VALUES


def _check(value: Value, *, depth: int) -> int:
    assert depth <= MAX_DEPTH + 2  # `around` and `key` may put a message one level deeper
    if type(value) is dict:
        for key in value:
            assert type(key) is str
            key.encode()
        return len(value) + sum(_check(one, depth=depth + 1) for one in value.values())
    if type(value) is list:
        return len(value) + sum(_check(one, depth=depth + 1) for one in value)
    assert value is None or type(value) in {bool, int, float, str, bytes}
    if type(value) is str:
        value.encode()
    if type(value) is float:
        assert math.isfinite(value)
    return 0
