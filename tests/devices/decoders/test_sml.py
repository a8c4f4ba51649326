"""SML files of real meters, and what may be wrong with them."""

from __future__ import annotations

import pytest

from decoder_kit import SML_FILE, SML_ON_THE_WIRE, Options, decoded, refused
from fieldgate_devices.decoders.sml_file import crc16_kermit, crc16_x25
from fieldgate_devices.decoders.sml_table import meaning_of, obis_text

# Telegrams of volkszaehler.org's collection and of the issues of other readers
EMH_ED300L = bytes.fromhex(
    "1B1B1B1B010101017607001604530F6C62006200726301017601010700160F6505240B06454D4801027156CD4501016324A80076070016"
    "04530F6D620062007263070177010B06454D4801027156CD4501726201650F659D1B7777078181C78203FF0101010104454D4801770701"
    "00000009FF010101010B06454D4801027156CD450177070100010800FF6301B001621E52FF56000A472D140177070100010801FF010162"
    "1E52FF56000A472D140177070100010802FF0101621E52FF56000000000001770701000F0700FF0101621B52FF55000004F20177078181"
    "C78205FF010101018302E83051EF18A388DC0B4605DBFF2F27B9CBCB80A3B295FD9C7A5016D42774B2D086DBB1573CBE193842429840ED"
    "DB06A0010101639803007607001604530F7062006200726302017101630E1600001B1B1B1B1A0114D8"
)
EBZ_DD3 = bytes.fromhex(
    "1B1B1B1B01010101760501188E6162006200726500000101760101070000000000000B0000000000000000000001016368770076050118"
    "8E626200620072650000070177010B000000000000000000000172620165002EC3F47A77078181C78203FF010101010445425A01770701"
    "00000009FF010101010B000000000000000000000177070100010800FF6401018001621E52FB690000000A7AC1BC170177070100010801"
    "FF0101621E52FB690000000A74B1EA770177070100010802FF0101621E52FB6900000000060FD1A00177070100020800FF640101800162"
    "1E52FB69000000000D19E1C00177070100100700FF0101621B52FE55000089D90177070100240700FF0101621B52FE5500002022017707"
    "0100380700FF0101621B52FE5500000A9201770701004C0700FF0101621B52FE5500005F2501010163810200760501188E636200620072"
    "650000020171016325FC000000001B1B1B1B1A0356F5"
)
HOLLEY_DTZ541 = bytes.fromhex(
    "1B1B1B1B0101010176040000016200620072650000010176010107000000148E030B0A01484C59020003A910010163FBEF007604000002"
    "6200620072650000070177010B0A01484C59020003A9100101F10577070100603201010101010104484C590177070100600100FF010101"
    "010B0A01484C59020003A9100177070100010801FF65001C01046500148E03621E52FF62000177070100010802FF65001C01046500148E"
    "03621E52FF65001B10210177070100020800FF65001C01046500148E03621E52FF6500300DCC0177070100100700FF0101621B52005301"
    "CC0177070100200700FF0101622352FF6309130177070100340700FF0101622352FF6309150177070100480700FF0101622352FF630915"
    "01770701001F0700FF0101622152FE626A0177070100330700FF0101622152FE62AE0177070100470700FF0101622152FE625B01770701"
    "00510701FF01016208520062780177070100510702FF01016208520062F00177070100510704FF01016208520063012A01770701005107"
    "0FFF010162085200630138017707010051071AFF01016208520063012001770701000E0700FF0101622C52FF6301F40177070100000200"
    "000101010109312E30322E3030370177070100605A02010101010105413031410177070100600500FF0101010165001C010401010163DB"
    "E700760400000362006200726500000201710163E8230000001B1B1B1B1A027159"
)
EFR = bytes.fromhex(
    "1B1B1B1B010101017605032EC3DB6200620072630101760107FFFFFFFFFFFF05010F969F0B0A014546522102CF806F72620165055C5CFB"
    "016334B6007605032EC3DC62006200726307017707FFFFFFFFFFFF0B0A014546522102CF806F070100620AFFFF72620165055C5CFBF106"
    "770701006032010101010101044546520177070100600100FF010101010B0A014546522102CF806F0177070100010800FF641C78047262"
    "0165055C5CFB621E52FF650425F6160177070100020800FF0172620165055C5CFB621E52FF649174630177070100100700FF0101621B52"
    "0053F9EB0177070100200700FF0101622352FF6308CA0177070100340700FF0101622352FF6308FC0177070100480700FF0101622352FF"
    "6308FB01770701001F0700FF0101622152FE62DB0177070100330700FF0101622152FE62C30177070100470700FF0101622152FE630157"
    "0177070100510701FF01016208520052770177070100510702FF0101620852005300EE0177070100510704FF0101620852005300D60177"
    "07010051070FFF0101620852005300C0017707010051071AFF0101620852005300BC01770701000E0700FF0101622C52FF6301F3017707"
    "010000020000010101010630332E30300177070100605A0201010101010342BD0177070100616100000101010103000001770701006032"
    "0104010101010850312E322E3132017707010060320404010101010304220101016350E5007605032EC3DD620062007263020171016378"
    "F9001B1B1B1B1A00B129"
)
EASYMETER_Q3B = bytes.fromhex(
    "1B1B1B1B010101017605043B66D962006200726500000101760101074553595133420B064553590104C5FA2EF701016338BE007605043B"
    "66DA6200620072650000070177010B064553590104C5FA2EF701726201650B1A82477977078181C78203FF010101010445535901770701"
    "00010800FF0101621E52FC690000001408499D070177070100020800FF0101621E52FC6900000021E2BD91830177070100010801FF0101"
    "621E520165000D20570177070100010802FF0101621E520165000000880177070100020801FF0101621E5201650016348D017707010002"
    "0802FF0101621E520165000000860177070100010700FF0101621B52FE5500002AC80177070100600505FF010101016301800101016352"
    "57007605043B66DB62006200726500000201710163274400001B1B1B1B1A013050"
)

STRICT: Options = {"checksum": "messages"}
START = bytes.fromhex("1b1b1b1b01010101")


def text(content: bytes) -> bytes:
    """An element of bytes, below 15 of them."""
    return bytes([len(content) + 1]) + content


def entry(obis: str, *, unit: bytes = b"\x01", scaler: bytes = b"\x01", value: bytes = b"\x01") -> bytes:
    """A value of a list, its elements as bytes."""
    return b"\x77" + text(bytes.fromhex(obis)) + b"\x01\x01" + unit + scaler + value + b"\x01"


def file_of(*entries: bytes, at: bytes = b"\x01", kind: bytes = b"\x63\x07\x01") -> bytes:
    """A file of one message, with its checksum."""
    body = b"\x77\x01" + text(b"\x0a\x01ABC\x00\x00\x00\x00\x07") + b"\x01" + at
    body += bytes([0x70 + len(entries)]) + b"".join(entries) + b"\x01\x01"
    message = b"\x76\x02\x01\x62\x00\x62\x00\x72" + kind + body
    return message + b"\x63" + crc16_x25(message).to_bytes(2, "little") + b"\x00"


def sent(file: bytes, *, filled: int | None = None) -> bytes:
    """The file as it goes over the wire."""
    filled = -len(file) % 4 if filled is None else filled
    content = START + file.replace(b"\x1b" * 4, b"\x1b" * 8) + bytes(filled) + b"\x1b\x1b\x1b\x1b\x1a" + bytes([filled])
    return content + crc16_x25(content).to_bytes(2, "little")


def test_the_checksums_are_those_of_the_catalogue_of_crcs() -> None:
    """The check values of CRC-16/IBM-SDLC (X-25) and CRC-16/KERMIT."""
    assert (crc16_x25(b"123456789"), crc16_kermit(b"123456789")) == (0x906E, 0x2189)


def test_a_meter_with_its_transport_and_a_file_without_are_read_alike() -> None:
    """The framing takes the transport off; read-out heads publish it as it is."""
    assert decoded("sml", SML_ON_THE_WIRE, STRICT) == [
        {
            "server_id": "1ISK0067362659",
            "seconds_index": 128972252,
            "manufacturer": "ISK",
            "status": 386,
            "energy_import": 22462.4136,
            "energy_import_tariff_1": 22462.4136,
            "energy_import_tariff_2": 0.0,
            "power": 168,
            "power_l1": 117,
            "power_l2": 22,
            "power_l3": 29,
            "public_key": "0c2de05c56024e1cd45280f4a0769a95e629cae205c55c9f"
            "1683ca5419778e1d9bcfa1c577a6b36a92709ebf05ea21bd",
        }
    ]
    assert decoded("sml", SML_FILE) == decoded("sml", sent(SML_FILE))


@pytest.mark.parametrize(
    "meter", [EMH_ED300L, HOLLEY_DTZ541, EFR, EASYMETER_Q3B], ids=["EMH", "Holley", "EFR", "EasyMeter"]
)
def test_the_checksums_of_real_meters_are_right(meter: bytes) -> None:
    """Else the checksum would be computed as no meter does."""
    assert decoded("sml", meter, STRICT) == decoded("sml", meter)


def test_voltages_currents_and_angles_have_their_phase() -> None:
    record = decoded("sml", EFR)[0]

    assert (record["power"], record["energy_import"], record["energy_export"]) == (-1557, 6959.6694, 953.2515)
    assert [record[f"voltage_l{phase}"] for phase in (1, 2, 3)] == [225.0, 230.0, 229.9]
    assert [record[f"current_l{phase}"] for phase in (1, 2, 3)] == [2.19, 1.95, 3.43]
    assert (record["frequency"], record["angle_voltage_l3"], record["firmware"]) == (49.9, 238, "03.00")
    assert record["other"] == {
        "1-0:96.90.2*1": {"value": "42bd"},
        "1-0:97.97.0*0": {"value": "0000"},
        "1-0:96.50.1*4": {"value": "P1.2.12"},
        "1-0:96.50.4*4": {"value": "0422"},
    }


def test_a_clock_that_is_written_without_its_choice_does_no_harm() -> None:
    """As Holley's DTZ541 has it, in a list that is longer than 15."""
    record = decoded("sml", HOLLEY_DTZ541)[0]

    assert (record["energy_import_tariff_2"], record["power"], record["voltage_l3"]) == (177.3601, 460, 232.5)


def test_a_changed_message_within_a_right_transport_counts_unless_messages_are_checked() -> None:
    """Telegrams that people made anonymous are so, and so are some meters: the transport's checksum is enough."""
    assert decoded("sml", EBZ_DD3)[0]["power"] == 352.89
    assert "the checksum 0x6877 of the message at position 0 is wrong" in refused("sml", EBZ_DD3, STRICT)


@pytest.mark.parametrize("place", [20, 100, 200, len(SML_ON_THE_WIRE) - 1])
def test_a_flipped_bit_on_the_wire_is_noticed(place: int) -> None:
    flipped = bytearray(SML_ON_THE_WIRE)
    flipped[place] ^= 0x10

    assert "checksum" in refused("sml", bytes(flipped))


def test_every_flipped_bit_of_a_message_is_noticed_where_messages_are_checked() -> None:
    """The control of the test above, without transport."""
    whole = file_of(entry("0100010800ff", unit=b"\x62\x1e", scaler=b"\x52\x00", value=b"\x63\x01\x02"))
    for place in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8

        refused("sml", bytes(flipped), STRICT)


def test_two_files_one_after_the_other_are_two_readings() -> None:
    records = decoded("sml", SML_ON_THE_WIRE + EMH_ED300L)

    assert [record["server_id"] for record in records] == ["1ISK0067362659", "06454D4801027156CD45"]


def test_four_escapes_in_the_file_are_a_value() -> None:
    """[BSI TR-03109-1, annex IV b, 8.1]: the transport doubles them."""
    file = file_of(entry("8181c78205ff", value=text(b"\x1b\x1b\x1b\x1b\x1b\x00")))

    assert decoded("sml", sent(file))[0]["public_key"] == "1b1b1b1b1b00"


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (b"\x72\x62\x01\x65\x00\x00\x01\x00", {"seconds_index": 256}),
        (b"\x72\x62\x02\x65\x65\x92\x00\x80", {"time": "2024-01-01T00:00:00Z"}),
        (b"\x72\x62\x03\x73\x65\x65\x92\x00\x80\x53\x00\x3c\x53\x00\x00", {"time": "2024-01-01T00:00:00Z"}),
        (b"\x65\x00\x00\x01\x00", {"seconds_index": 256}),
        (b"\x72\x62\x09\x62\x01", {}),
        (b"\x01", {}),
    ],
)
def test_the_clock_is_a_time_or_a_count_of_seconds(at: bytes, expected: dict[str, object]) -> None:
    """A zone is only told; the number is UTC."""
    record = decoded("sml", file_of(at=at), STRICT)[0]

    assert {name: value for name, value in record.items() if name != "server_id"} == expected


@pytest.mark.parametrize(
    ("obis", "unit", "scaler", "value", "expected"),
    [
        ("0100010800ff", 30, -1, 12345, {"energy_import": 1.2345}),
        ("0100020801ff", 30, 3, 7, {"energy_export_tariff_1": 7}),
        ("0100030800ff", 32, 0, 1500, {"reactive_energy_import": 1.5}),
        ("0100010700ff", 27, -2, 109, {"power_import": 1.09}),
        ("0100160700ff", 27, 0, 5, {"power_export_l1": 5}),
        ("01003d0700ff", 27, 0, 5, {"power_import_l3": 5}),
        ("0100380700ff", 27, 0, -5, {"power_l2": -5}),
        ("0100240700ff", 27, 0, -5, {"power_l1": -5}),
        ("0100480700ff", 35, -1, 2300, {"voltage_l3": 230.0}),
        ("01000d0700ff", 255, -3, 990, {"power_factor": 0.99}),
        ("0100010700ff", 35, 0, 5, {"other": {"1-0:1.7.0*255": {"value": 5, "unit": "V"}}}),
        ("010001080060", 30, 0, 5, {"other": {"1-0:1.8.0*96": {"value": 5, "unit": "Wh"}}}),
        ("0701030001ff", 13, -2, 5, {"other": {"7-1:3.0.1*255": {"value": 0.05, "unit": "m³"}}}),
        ("0100510703ff", 8, 0, 5, {"other": {"1-0:81.7.3*255": {"value": 5, "unit": "°"}}}),
        ("0100", 99, 0, 5, {"other": {"0100": {"value": 5}}}),
    ],
)
def test_a_code_has_its_name_only_in_its_unit(
    obis: str, unit: int, scaler: int, value: int, expected: dict[str, object]
) -> None:
    """A number under a name with another unit would be wrong and look right."""
    written = entry(
        obis,
        unit=b"\x62" + bytes([unit]),
        scaler=b"\x52" + scaler.to_bytes(1, signed=True),
        value=b"\x55" + value.to_bytes(4, signed=True),
    )

    record = decoded("sml", file_of(written), STRICT)[0]

    assert record == {"server_id": "1ABC0000000007", **expected}


def test_a_value_that_is_none_or_comes_twice_is_no_second_one() -> None:
    energy = {"unit": b"\x62\x1e", "value": b"\x62\x01"}

    record = decoded(
        "sml",
        file_of(
            entry("0100010800ff", unit=b"\x62\x1e"),
            entry("0100010800ff", **energy),
            entry("0101010800ff", unit=b"\x62\x1e", value=b"\x62\x02"),
            entry("0100020800ff", unit=b"\x62\x1e", value=text(b"much")),
            entry("0100600500ff", value=b"\x42\x01"),
        ),
    )[0]

    assert record["energy_import"] == 0.001
    assert record["other"] == {
        "1-1:1.8.0*255": {"value": 2, "unit": "Wh"},
        "1-0:2.8.0*255": {"value": "much"},
        "1-0:96.5.0*255": {"value": True},
    }


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"/ISK5", "byte 0x2f at position 0 begins no message of SML (0x76)"),
        (SML_FILE[:-1], "the file ends at"),
        (SML_FILE + b"\x01", "byte 0x01 at position"),
        (START + SML_FILE, "the transport has no end"),
        (START + b"\x1b\x1b\x1b\x1b\x02\x00\x00\x00", "an escape without meaning at position 8"),
        (SML_ON_THE_WIRE + b"\r\n", "behind the transport, at position"),
        (b"\x76\xf1\x80\x80\x00", "the list at position 1 has 4096 values in 0 bytes"),
        (b"\x76\xf1\x80\x80\x80\x00", "the length at position 1 is none"),
        (b"\x76" + b"\x71" * 50, "nested deeper than 12 levels"),
        (b"\x76\x80\x00\x01", "the value at position 1 has 0 bytes"),
        (b"\x76\x81\x91\x01", "the length at position 1 is none"),
        (b"\x76\x6a" + bytes(9), "tag 0x6a at position 1 with 9 bytes is no value of SML"),
        (b"\x76\x22\x00", "tag 0x22"),
        (b"\x76\x01\x01\x01\x01\x01\x00", "the message at position 0 has no body with a kind"),
        (b"\x76\x01\x01\x01\x01\x01\x01", "stands where a message must end"),
        (file_of(kind=b"\x63\x01\x01"), "the file holds no list of values (0x0701), but 0x0101"),
        (b"\x76\x01\x01\x01\x72\x63\x07\x01\x71\x01\x01\x00", "the list of values at position 0 is none"),
        (file_of(b"\x71\x01"), "an entry of the list of values is none"),
        (
            file_of(entry("0100010800ff", unit=b"\x62\x1e", scaler=b"\x52\x7f", value=b"\x62\x01")),
            "a value is scaled by 10 to the power of 127",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(payload: bytes, reason: str) -> None:
    """Who builds a read-out head sees what the gateway saw."""
    assert reason in refused("sml", payload)


def test_zeros_that_fill_up_are_no_message() -> None:
    assert decoded("sml", SML_FILE + bytes(3)) == decoded("sml", SML_FILE)
    assert decoded("sml", sent(SML_FILE, filled=4)) == decoded("sml", SML_FILE), "as the DZG DVS74 sends it"
    assert "without meaning" in refused("sml", sent(SML_FILE, filled=5))


def test_a_code_is_written_as_people_do() -> None:
    assert obis_text(bytes.fromhex("0100010800ff")) == "1-0:1.8.0*255"
    assert meaning_of(b"") is None
