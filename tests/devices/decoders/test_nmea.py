"""NMEA 0183: sentences as receivers send them."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest

from decoder_kit import NMEA, decoded, refused


def sealed(sentence: str) -> bytes:
    """The sentence with its checksum."""
    return f"${sentence}*{reduce(xor, sentence.encode(), 0):02X}\r\n".encode()


@pytest.mark.parametrize(
    ("sentence", "values"),
    [
        (
            b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
            {
                "talker": "GP",
                "sentence": "GGA",
                "time_of_day": "12:35:19",
                "latitude": 48.1173,
                "longitude": 11.516666667,
                "quality": 1,
                "satellites": 8,
                "hdop": 0.9,
                "altitude_m": 545.4,
                "geoid_separation_m": 46.9,
                "correction_age_s": None,
                "correction_station": None,
            },
        ),
        (
            b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A",
            {
                "talker": "GP",
                "sentence": "RMC",
                "time_of_day": "12:35:19",
                "status": "A",
                "latitude": 48.1173,
                "longitude": 11.516666667,
                "speed_knots": 22.4,
                "course_deg": 84.4,
                "date": "230394",
                "variation_deg": 3.1,
                "variation_direction": "W",
                "mode": None,
                "navigation_status": None,
                "time": "1994-03-23T12:35:19Z",
            },
        ),
        (
            sealed("GNRMC,220516.50,A,5133.82,S,00042.24,W,173.8,231.8,130624,,,A,V"),
            {
                "talker": "GN",
                "latitude": -51.563666667,
                "longitude": -0.704,
                "time": "2024-06-13T22:05:16.50Z",
                "mode": "A",
                "navigation_status": "V",
            },
        ),
        (
            b"$GPGLL,4916.45,N,12311.12,W,225444,A,*1D",
            {
                "latitude": 49.274166667,
                "longitude": -123.185333333,
                "time_of_day": "22:54:44",
                "status": "A",
                "mode": None,
            },
        ),
        (
            b"$GPVTG,054.7,T,034.4,M,005.5,N,010.2,K*48",
            {"course_deg": 54.7, "course_magnetic_deg": 34.4, "speed_knots": 5.5, "speed_kmh": 10.2, "mode": None},
        ),
        (
            b"$GPGSA,A,3,04,05,,09,12,,,24,,,,,2.5,1.3,2.1*39",
            {"selection": "A", "fix": 3, "pdop": 2.5, "hdop": 1.3, "vdop": 2.1, "satellites_used": [4, 5, 9, 12, 24]},
        ),
        (
            sealed("GPGSV,1,1,02,01,40,083,46,02,17,308,,1"),
            {
                "messages": 1,
                "message": 1,
                "satellites_in_view": 2,
                "satellites_seen": [
                    {"satellite": 1, "elevation_deg": 40.0, "azimuth_deg": 83.0, "snr_db": 46.0},
                    {"satellite": 2, "elevation_deg": 17.0, "azimuth_deg": 308.0, "snr_db": None},
                ],
            },
        ),
        (
            b"$GPZDA,201530.00,04,07,2002,00,00*60",
            {"time": "2002-07-04T20:15:30.00Z", "day": 4, "month": 7, "year": 2002, "zone_hours": 0.0},
        ),
        (b"$GPHDT,123.456,T*32", {"heading_deg": 123.456}),
        (
            sealed("SDDBT,7.8,f,2.4,M,,F"),
            {"talker": "SD", "sentence": "DBT", "fields": ["7.8", "f", "2.4", "M", None, "F"]},
        ),
        (sealed("PUBX,00,1"), {"talker": "P", "sentence": "UBX", "fields": ["00", "1"]}),
        (sealed("GPGGA,,,,,,0,,,,,,,,"), {"latitude": None, "longitude": None, "time_of_day": None, "quality": 0}),
        (sealed("GPRMC,123519,V,,,,,,,,,"), {"time": None, "date": None, "status": "V"}),
        (sealed("GPRMC,235960,A,,,,,,,311216,,"), {"time": "2016-12-31T23:59:59Z", "time_of_day": "23:59:60"}),
        (b"\\s:r3669961,c:1120959341*7B\\!AIVDM,1,1,,A,x,0*5E", {"talker": "AI", "sentence": "VDM"}),
    ],
)
def test_sentences(sentence: bytes, values: dict[str, object]) -> None:
    record = decoded("nmea", sentence)[0]

    assert values.items() <= record.items()


def test_every_position_of_a_wrong_byte_is_noticed() -> None:
    """Row 56: a bad checksum is never data."""
    sentence = sealed("GPHDT,123.456,T").strip()

    for place in range(1, len(sentence) - 3):
        damaged = sentence[:place] + bytes([sentence[place] ^ 1]) + sentence[place + 1 :]
        assert refused("nmea", damaged)


def test_sentences_of_a_payload_are_readings_or_one() -> None:
    assert [record["sentence"] for record in decoded("nmea", NMEA)] == ["GGA", "RMC", "GSV"]

    (merged,) = decoded("nmea", NMEA, {"merge": True})

    assert merged["sentences"] == ["GGA", "RMC", "GSV"]
    assert merged["altitude_m"] == 545.4
    assert merged["speed_knots"] == 22.4
    assert merged["time"] == "1994-03-23T12:35:19Z"


def test_the_satellites_of_several_sentences_are_one_list() -> None:
    payload = sealed("GPGSV,2,1,05,01,40,083,46,,,,") + sealed("GPGSV,2,2,05,07,12,344,39")

    (merged,) = decoded("nmea", payload, {"merge": True})

    assert [one["satellite"] for one in merged["satellites_seen"]] == [1, 7]  # type: ignore[union-attr,index,call-overload]


def test_what_is_empty_in_one_sentence_is_taken_from_another() -> None:
    payload = sealed("GPGGA,123519,,,,,0,00,,,M,,M,,") + sealed("GPGLL,4916.45,N,12311.12,W,225444,A,")

    (merged,) = decoded("nmea", payload, {"merge": True})

    assert merged["latitude"] == 49.274166667
    assert merged["time_of_day"] == "12:35:19"


@pytest.mark.parametrize(("modes", "status"), [("ANNN", "A"), ("NNRN", "A"), ("NNNN", "V"), ("N", "V"), ("", "V")])
def test_a_fix_of_one_system_of_satellites_is_a_fix(modes: str, status: str) -> None:
    """Receivers of several systems may send GNS alone, and no GGA."""
    sentence = sealed(f"GNGNS,103600.01,5114.51176,N,00012.29380,W,{modes},07,1.18,111.5,45.6,,,V")

    (record,) = decoded("nmea", sentence)

    assert record["status"] == status
    assert (record["latitude"], record["longitude"], record["satellites"]) == (51.241862667, -0.204896667, 7)


def test_what_is_not_known_is_kept_apart_where_all_is_one_reading() -> None:
    """A reading that begins with a ship's message must not lose the position, nor the ship."""
    ship = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n"

    (merged,) = decoded("nmea", ship + sealed("GPGLL,4916.45,N,12311.12,W,225444,A,"), {"merge": True})

    assert merged["sentence"] == "GLL"
    assert merged["other"] == decoded("nmea", ship)
    assert merged["sentences"] == ["VDM", "GLL"]


@pytest.mark.parametrize(
    "sentence",
    [
        "GPRMC,235946.005,V,8960.000000,N,00000.000000,E,0.000,0.00,050180,,,N",
        "GPGGA,235946.005,8960.000000,N,00000.000000,E,0,0,,137.000,M,13.000,M,,",
        "GPGLL,36000.0000,N,72000.0000,E,000452.981,V",
    ],
)
def test_a_place_that_is_none_is_no_fault_where_there_is_no_fix(sentence: str) -> None:
    """MediaTek's MT3301 and Globalsat's TN-200 after they were switched on; with a fix it is one."""
    assert decoded("nmea", sealed(sentence))[0]["latitude"] is None
    assert "is no latitude" in refused("nmea", sealed(sentence.replace(",V", ",A").replace(",E,0,0,", ",E,1,0,")))


def test_a_sentence_may_lack_its_checksum_where_that_is_said() -> None:
    assert refused("nmea", b"$GPHDT,1,T") == "line 1: GPHDT has no checksum"
    assert decoded("nmea", b"$GPHDT,1,T", {"checksum": "optional"})[0]["heading_deg"] == 1.0
    assert "is wrong" in refused("nmea", b"$GPHDT,1,T*00", {"checksum": "optional"})


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xfe", "byte 0xff at position 0 is not ASCII"),
        (b"hello", "line 1: no sentence: 'hello'"),
        (sealed("GPHDT,1,T") + b"GPHDT,1", "line 2: no sentence: 'GPHDT,1'"),
        (sealed("GP"), "line 1: no sentence: '$GP*17'"),
        (sealed("GPHDT,north,T"), "line 1: HDT: heading_deg: 'north' is no number"),
        (sealed("GPHDT,NaN,T"), "line 1: HDT: heading_deg: 'NaN' is no number"),
        (sealed("GPGLL,9100.0,N,0,E,1,A"), "line 1: GLL: latitude: '9100.0,N' is no latitude"),
        (sealed("GPGLL,4560.0,N,0,E,1,A"), "line 1: GLL: latitude: '4560.0,N' is no latitude"),
        (sealed("GPGLL,4500.0,E,0,E,1,A"), "line 1: GLL: latitude: '4500.0,E' is no latitude"),
        (sealed("GPGLL,4500.0,,0,E,1,A"), "line 1: GLL: latitude: '4500.0,' is no latitude"),
        (sealed("GPGLL,,,18100.0,E,1,A"), "line 1: GLL: longitude: '18100.0,E' is no longitude"),
        (sealed("GPGLL,,,,,246060,A"), "line 1: GLL: time_of_day: '246060' is no time of day"),
        (sealed("GPZDA,201530.00,31,02,2002,00,00"), "line 1: ZDA: 2002-2-31 is no date"),
        (sealed("GPRMC,123519,A,,,,,,,1,,"), "line 1: RMC: date: '1' is no date"),
        (sealed("GPGSA,A,x"), "line 1: GSA: fix: 'x' is no whole number"),
        (b"$GPTXT," + b"x" * 1_100 + b"*00", "line 1: a sentence has 1110 characters; 1024 at most"),
        (b"\n\r\n", "the message holds no reading"),
    ],
)
def test_what_is_no_sentence_is_refused(payload: bytes, reason: str) -> None:
    assert refused("nmea", payload) == reason
