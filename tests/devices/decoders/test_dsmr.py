"""DSMR/P1 telegrams: the example of the standard, older versions, other countries, and damage."""

from __future__ import annotations

import sys
from datetime import datetime
from decimal import Decimal

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from decoder_kit import TELEGRAM, Options, decoded, refused
from fieldgate_devices.decoders import make_decoder
from fieldgate_devices.decoders.dsmr import crc16
from fieldgate_devices.decoders.dsmr_table import load_table

OLD = (
    b"/ISk5\\2MT382-1004\r\n\r\n0-0:96.1.1(4B384547303034303436333935353037)\r\n1-0:1.8.1(00001.001*kWh)\r\n"
    b"0-0:96.14.0(0001)\r\n1-0:1.7.0(0001.01*kW)\r\n0-0:17.0.0(0999.00*kW)\r\n0-0:96.3.10(1)\r\n0-0:96.13.1()\r\n"
    b"0-1:24.1.0(3)\r\n0-1:96.1.0(000000000000)\r\n0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)\r\n"
    b"0-1:24.4.0(1)\r\n!\r\n"
)
BELGIAN = (  # the example of e-MUCS P1, edition 1.7.1
    b"/FLU5\\253769484_A\r\n\r\n0-0:96.1.4(50217)\r\n0-0:96.1.1(3153414733313031303231363035)\r\n"
    b"0-0:1.0.0(200512135409S)\r\n1-0:1.8.1(000000.034*kWh)\r\n1-0:1.8.2(000015.758*kWh)\r\n"
    b"1-0:1.4.0(02.351*kW)\r\n1-0:1.6.0(200509134558S)(02.589*kW)\r\n"
    b"0-0:98.1.0(3)(1-0:1.6.0)(1-0:1.6.0)(200501000000S)(200423192538S)(03.695*kW)(200401000000S)(200305122139S)"
    b"(05.980*kW)(200301000000S)(200210035421W)(04.318*kW)\r\n1-0:1.7.0(00.000*kW)\r\n0-1:24.1.0(003)\r\n"
    b"0-1:96.1.1(37464C4F32313139303333373333)\r\n0-1:24.4.0(1)\r\n0-1:24.2.3(200512134558S)(00112.384*m3)\r\n"
    b"0-2:24.1.0(007)\r\n0-2:96.1.1(3853455430303030393631313733)\r\n0-2:24.2.1(200512134558S)(00872.234*m3)\r\n"
)


def sealed(body: bytes) -> bytes:
    """The telegram with its end and checksum."""
    return body + b"!%04X\r\n" % crc16(body + b"!")


def test_the_example_of_the_standard() -> None:
    record = decoded("dsmr", TELEGRAM)[0]

    assert record["header"] == "ISk5\\2MT382-1000"
    assert record["p1_message_timestamp"] == "2010-12-09T10:30:20Z"
    assert record["electricity_used_tariff_1"] == 123456.789
    assert record["current_electricity_usage"] == 1.193
    assert record["electricity_active_tariff"] == "0002"
    assert record["short_power_failure_count"] == 4.0
    assert record["instantaneous_voltage_l3"] == 220.3
    assert record["power_event_failure_log"] == [
        {"time": "2010-12-08T14:24:15Z", "value": 240.0},
        {"time": "2010-12-08T14:10:04Z", "value": 301.0},
    ]
    assert record["gas"] == {
        "type": 3,
        "identifier": "3232323241424344313233343536373839",
        "time": "2010-12-09T10:25:00Z",
        "value": 12785.123,
        "unit": "m3",
    }
    assert "other" not in record


def test_the_checksum_is_the_librarys() -> None:
    """A second opinion on the CRC, and on what the numbers are."""
    theirs = TelegramParser(telegram_specifications.V5).parse(TELEGRAM.decode())
    ours = decoded("dsmr", TELEGRAM)[0]

    for name in ("ELECTRICITY_USED_TARIFF_1", "INSTANTANEOUS_ACTIVE_POWER_L3_NEGATIVE", "VOLTAGE_SAG_L1_COUNT"):
        assert ours[name.lower()] == float(getattr(theirs, name).value)


def test_every_flipped_bit_is_noticed() -> None:
    """Row 56: a bad checksum is never data."""
    end = TELEGRAM.rindex(b"!")

    for place in range(0, end, 7):
        for bit in range(7):
            damaged = TELEGRAM[:place] + bytes([TELEGRAM[place] ^ 1 << bit]) + TELEGRAM[place + 1 :]
            if damaged.replace(b"\r", b"") != TELEGRAM.replace(b"\r", b""):
                assert refused("dsmr", damaged)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_a_relay_may_change_the_ends_of_lines(ends: bytes) -> None:
    """The checksum goes over the meter's own; what reads lines and sends them on has lost these."""
    assert decoded("dsmr", TELEGRAM.replace(b"\r\n", ends)) == decoded("dsmr", TELEGRAM)


def test_a_telegram_before_dsmr_4_has_no_checksum_and_local_times() -> None:
    record = decoded("dsmr", OLD, {"version": "dsmr2"})[0]

    assert record["electricity_used_tariff_1"] == 1.001
    assert record["actual_treshold_electricity"] == 999.0
    assert record["text_message_code"] is None
    assert record["gas"] == {
        "type": "3",
        "identifier": "000000000000",
        "time": "2016-11-07T18:00:00Z",
        "value": 1.001,
        "unit": "m3",
        "valve": "1",
    }
    assert refused("dsmr", OLD) == "the telegram has no checksum after '!'"
    assert (
        refused("dsmr", OLD, {"version": "dsmr2", "checksum": "required"}) == "the telegram has no checksum after '!'"
    )


def test_a_belgian_telegram_has_peaks_gas_and_water() -> None:
    record = decoded("dsmr", sealed(BELGIAN), {"version": "belgium"})[0]

    assert record["belgium_current_average_demand"] == 2.351
    assert record["belgium_maximum_demand_month"] == {"time": "2020-05-09T11:45:58Z", "value": 2.589, "unit": "kW"}
    assert record["belgium_maximum_demand_13_months"] == [
        {"month": "2020-04-30T22:00:00Z", "time": "2020-04-23T17:25:38Z", "value": 3.695},
        {"month": "2020-03-31T22:00:00Z", "time": "2020-03-05T10:21:39Z", "value": 5.98},
        {"month": "2020-02-29T22:00:00Z", "time": "2020-02-10T02:54:21Z", "value": 4.318},
    ]
    assert record["gas"]["value"] == 112.384  # type: ignore[index,call-overload]  # a mapping, as the next line shows
    assert record["water"] == {
        "type": 7,
        "identifier": "3853455430303030393631313733",
        "time": "2020-05-12T11:45:58Z",
        "value": 872.234,
        "unit": "m3",
    }


@pytest.mark.parametrize("written", [b"1-0:1.8.0(006545766*Wh)", b"1-0:1.8.0(006545.766*kWh)"])
def test_energy_and_power_are_in_thousands_however_a_meter_writes_them(written: bytes) -> None:
    """Meters in Lithuania and Germany write Wh and W; a thousand times the energy must not go upstream."""
    body = b"/EST5\\253710000_A\r\n\r\n" + written + b"\r\n1-0:1.7.0(000000286*W)\r\n1-0:32.7.0(240.3*V)\r\n"

    (record,) = decoded("dsmr", sealed(body), {"version": "any"})

    assert record["electricity_imported_total"] == 6545.766
    assert record["current_electricity_usage"] == 0.286
    assert record["instantaneous_voltage_l1"] == 240.3


def test_one_table_reads_the_telegrams_of_all_versions() -> None:
    """A gateway does not know which meter an installer plugs in."""
    assert decoded("dsmr", TELEGRAM, {"version": "any"}) == decoded("dsmr", TELEGRAM)
    old = decoded("dsmr", OLD, {"version": "any"})[0]
    assert old["gas"] == {**decoded("dsmr", OLD, {"version": "dsmr2"})[0]["gas"], "type": 3, "valve": 1}  # type: ignore[dict-item]
    belgian = decoded("dsmr", sealed(BELGIAN), {"version": "any"})[0]
    assert belgian["belgium_current_average_demand"] == 2.351
    assert belgian["water"] == decoded("dsmr", sealed(BELGIAN), {"version": "belgium"})[0]["water"]


def test_a_version_that_has_a_checksum_needs_it_where_the_table_is_of_all() -> None:
    """Cut off after the '!', a telegram could be any; those that had none before DSMR 4 say no version."""
    without = TELEGRAM[: TELEGRAM.rindex(b"!") + 1]

    assert refused("dsmr", without, {"version": "any"}) == "the telegram has no checksum after '!'"
    assert refused("dsmr", OLD, {"version": "any", "checksum": "required"}).endswith("no checksum after '!'")
    assert refused("dsmr", sealed(BELGIAN)[:-6], {"version": "any"}) == "the telegram has no checksum after '!'"


@pytest.mark.parametrize("version", ["dsmr3", "dsmr4", "luxembourg", "sweden", "hungary", "iskra", "q3d"])
def test_every_version_reads_what_all_have(version: str) -> None:
    body = b"/KAM5\r\n\r\n1-0:1.7.0(0001.500*kW)\r\n"

    record = decoded("dsmr", sealed(body), {"version": version})[0]

    assert {"header": "KAM5", "current_electricity_usage": 1.5}.items() <= record.items()


def test_a_meter_that_writes_the_last_group_of_a_code() -> None:
    """EasyMeter Q3D: 1-0:1.7.0*255."""
    payload = b"/ESY5Q3DA1004 V3.04\r\n\r\n1-0:1.7.0*255(001688.21*W)\r\n!\r\n"

    assert decoded("dsmr", payload, {"version": "q3d"})[0]["current_electricity_usage"] == 1.68821


def test_codes_that_the_table_does_not_know_are_kept() -> None:
    """New firmware may say more; that breaks no profile."""
    record = decoded("dsmr", sealed(b"/KAM5\r\n\r\n1-0:1.7.0(1.5*kW)\r\n1-0:99.1.99(7)(8)\r\n1-0:1.7.0(2.5*kW)\r\n"))[0]

    assert record["current_electricity_usage"] == 1.5
    assert record["other"] == {"1-0:99.1.99": "(7)(8)", "1-0:1.7.0": "(2.5*kW)"}


def test_two_gas_meters_are_two() -> None:
    lines = (
        b"0-1:24.1.0(003)\r\n0-1:24.2.1(101209112500W)(1*m3)\r\n0-2:24.1.0(003)\r\n0-2:24.2.1(101209112500W)(2*m3)\r\n"
    )

    record = decoded("dsmr", sealed(b"/KAM5\r\n\r\n" + lines))[0]

    assert [record["gas"]["value"], record["gas_2"]["value"]] == [1.0, 2.0]  # type: ignore[index,call-overload]  # mappings


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"0-0:1.0.0()", "p1_message_timestamp", None),
        (b"0-0:1.0.0(000000000000W)", "p1_message_timestamp", None),
        (b"1-0:1.7.0()", "current_electricity_usage", None),
        (b"1-0:99.97.0()", "power_event_failure_log", []),
        (b"1-0:99.97.0(0)(0-0:96.7.19)", "power_event_failure_log", []),
        (b"0-1:24.2.1(------------)(*m3)", "mbus_1", {"time": None, "value": None, "unit": "m3"}),
        (b"0-4:24.1.0(099)", "mbus_4", {"type": 99}),
    ],
)
def test_a_meter_may_not_know(line: bytes, name: str, value: object) -> None:
    assert decoded("dsmr", sealed(b"/KAM5\r\n\r\n" + line + b"\r\n"))[0][name] == value


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"hello\r\n", "line 2 is no code with values: 'hello'"),
        (b"1-0:1.7.0\r\n", "line 2 is no code with values"),
        (b"1-0:1.7.0(1)\r\n" * 501, "the telegram has more than 500 lines"),
        (b"1-0:1.7.0(1)\r\n" * 2_000, "this decoder reads 16384 at most"),
    ],
)
def test_lines_that_are_none_are_refused(lines: bytes, reason: str) -> None:
    assert reason in refused("dsmr", sealed(b"/KAM5\r\n\r\n" + lines))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"1-0:1.7.0(x*kW)\r\n", "line 2 (1-0:1.7.0): 'x' is no number"),
        (b"1-0:1.7.0(NaN)\r\n", "line 2 (1-0:1.7.0): 'NaN' is no number"),
        (b"0-0:1.0.0(109909113020W)\r\n", "line 2 (0-0:1.0.0): '109909113020W' is no time"),
        (b"0-0:1.0.0(yesterday)\r\n", "line 2 (0-0:1.0.0): 'yesterday' is no time"),
        (b"0-1:24.2.1(101209112500W)\r\n", "line 2 (0-1:24.2.1): a reading has 2 groups (7 before DSMR 4), not 1"),
        (b"1-0:99.97.0(3)(0-0:96.7.19)(101208152415W)(1*s)\r\n", "3 entries do not fit 4 groups"),
        (b"1-0:99.97.0(99999999)()\r\n", "'99999999' is no count"),
        (b"0-0:96.13.0(\xff\xff)\r\n", "byte 0xff at position 21 is not ASCII"),
    ],
)
def test_values_that_are_none_are_refused_where_no_checksum_vouches_for_them(lines: bytes, reason: str) -> None:
    """Under a checksum the meter said so: the line is kept as it stands, and breaks no telegram."""
    telegram = b"/KAM5\r\n\r\n" + lines

    assert reason in refused("dsmr", telegram + b"!\r\n", {"checksum": "optional"})
    assert decoded("dsmr", sealed(telegram))[0]["header"] == "KAM5"


def test_a_hungarian_meter_uses_a_code_of_belgium_and_fills_its_text_with_ff() -> None:
    """What AUX meters of E.ON send each ten seconds: all of it would be lost for two lines that nobody reads."""
    lines = (
        b"0-0:1.0.0(230817171430S)\r\n1-0:1.8.0(000812.421*kWh)\r\n"
        b"0-0:98.1.0(230801000000S)(000663.924*kWh)(12.212*kW)\r\n0-0:96.13.0(" + b"\xff" * 2048 + b")\r\n"
    )

    record = decoded("dsmr", sealed(b"/AUX59903218166\r\n\r\n" + lines), {"version": "any"})[0]

    assert record["electricity_imported_total"] == 812.421
    assert record["text_message"] is None
    assert record["other"] == {"0-0:98.1.0": "(230801000000S)(000663.924*kWh)(12.212*kW)"}


def test_a_month_without_a_peak_and_a_gas_meter_that_was_not_heard() -> None:
    """Meters write bytes ff as 632525252525W, Belgian ones in each telegram of their first year."""
    lines = (
        b"0-0:98.1.0(2)(1-0:1.6.0)(1-0:1.6.0)(230801000000S)(632525252525W)(00.000*kW)"
        b"(240601000000S)(240523000000S)(03.701*kW)\r\n"
        b"0-1:24.1.0(003)\r\n0-1:24.2.1(632525252525S)(00000.000)\r\n"
    )

    record = decoded("dsmr", sealed(b"/FLU5\r\n\r\n" + lines), {"version": "any"})[0]

    assert record["belgium_maximum_demand_13_months"] == [
        {"month": "2023-07-31T22:00:00Z", "time": None, "value": 0.0},
        {"month": "2024-05-31T22:00:00Z", "time": "2024-05-22T22:00:00Z", "value": 3.701},
    ]
    assert record["gas"] == {"type": 3, "time": None, "value": None, "unit": None}, "0 m³ was never measured"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"1-0:1.7.0(1)\r\n!", "no telegram, which begins with '/'"),
        (TELEGRAM[: TELEGRAM.rindex(b"!")], "no telegram, which begins with '/' and ends with '!'"),
        (TELEGRAM.replace(b"E47C", b"E47D"), "checksum E47D is wrong; E47C is right"),
        (TELEGRAM + TELEGRAM, "checksum E47C is wrong"),
        (b"/KAM5\r\n\xb0", "byte 0xb0 at position 7 is not ASCII"),
    ],
)
def test_what_is_no_telegram_is_refused(payload: bytes, reason: str) -> None:
    assert reason in refused("dsmr", payload)


@pytest.fixture
def _no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dsmr_parser", None)


@pytest.mark.usefixtures("_no_library")
def test_a_machine_without_the_library_gets_a_reason() -> None:
    assert refused("dsmr", TELEGRAM).startswith("dsmr-parser cannot be used: ")


def test_the_library_is_used_for_its_tables_alone() -> None:
    """Its parser of power failures keeps growing; ours must be the same after a thousand telegrams as after one."""
    options: Options = {}
    decoder = make_decoder("dsmr", options)
    before = [
        len(getattr(entry["value_parser"], "value_formats", ())) for entry in telegram_specifications.V5["objects"]
    ]

    for _ in range(20):
        decoder.decode(TELEGRAM, {})

    assert before == [
        len(getattr(entry["value_parser"], "value_formats", ())) for entry in telegram_specifications.V5["objects"]
    ]
    assert load_table("dsmr5").has_checksum


GROUPS = {"Decimal": "(001.5*kWh)", "int": "(3)", "str": "(AB12)", "timestamp": "(161113205757W)"}
NAMES = {"dsmr2": "V2_2", "dsmr4": "V4", "dsmr5": "V5", "belgium": "BELGIUM_FLUVIUS", "luxembourg": "LUXEMBOURG_SMARTY"}
NAMES |= {"sweden": "SWEDEN", "hungary": "EON_HUNGARY", "iskra": "ISKRA_IE", "q3d": "Q3D"}


def line_for(pattern: str, kinds: list[str]) -> str:
    """A line that the library's pattern is for."""
    code = pattern.removeprefix("^").partition(".+?")[0]
    for written, meant in ((r"\d", "0"), ("[1-9]", "1"), ("[01]", "0"), ("[13]", "1"), ("\\", "")):
        code = code.replace(written, meant)
    return code + "".join(GROUPS[kind] for kind in kinds) + "\r\n"


def plain(value: object) -> object:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}Z"
    return float(value) if isinstance(value, Decimal) else value


@pytest.mark.parametrize("version", NAMES)
def test_every_code_of_every_version_is_read_as_the_library_reads_it(version: str) -> None:
    """A second opinion, code by code: what one line says, alone in a telegram."""
    specification = getattr(telegram_specifications, NAMES[version])
    decoder = make_decoder("dsmr", {"version": version, "checksum": "optional"})
    compared = 0
    for entry in specification["objects"]:
        formats = getattr(entry["value_parser"], "value_formats", ())
        kinds = [one.coerce_type.__name__ for one in formats]
        if type(entry["value_parser"]).__name__ not in {"CosemParser", "MBusParser"} or len(kinds) > 2:
            continue
        telegram = f"/KAM5\r\n\r\n{line_for(entry['obis_reference'], kinds)}!\r\n"
        theirs = TelegramParser(specification, apply_checksum_validation=False).parse(telegram)
        wanted = {name.lower() for name, _ in theirs} | {"header"}
        (ours,) = decoder.decode(telegram.encode(), {})
        meter = next((value for key, value in ours.items() if key == "gas" or key.startswith("mbus_")), None)

        found = getattr(theirs, entry["value_name"])
        if meter is not None:
            assert plain(found.value) in meter.values()  # type: ignore[union-attr]  # a mapping
            assert not hasattr(found, "datetime") or plain(found.datetime) == meter["time"]  # type: ignore[index,call-overload]
        else:
            value = ours[entry["value_name"].lower()]
            first = value["value"] if isinstance(value, dict) else value[0] if isinstance(value, list) else value
            assert first == plain(found.value)
            assert ours.keys() <= wanted
        compared += 1

    assert compared >= len(specification["objects"]) - 4
