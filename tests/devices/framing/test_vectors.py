"""Frames as specifications, manuals and real devices have them."""

from __future__ import annotations

import pytest

from decoder_kit import NMEA, TELEGRAM
from fieldgate_devices.decoders import make_decoder
from fieldgate_devices.decoders.dsmr import crc16
from fieldgate_devices.framing import Frame, make_framer
from framing_kit import hear

DVS74_FILE = (  # of a DZG DVS74, whose transport fills up 4 bytes where none are missing
    "76051C414C02620062007263010176010102310B0A01445A47000282C0B07262016505471C2A620263F9380076051D414C0262006200726307"
    "0177010B0A01445A47000282C0B0070100620AFFFF7262016505471C2A7477070100603201010172620162006200520004445A470177070100"
    "600100FF017262016200620052000B0A01445A47000282C0B00177070100010800FF641C01047262016200621E520363344F01770701000208"
    "00FF017262016200621E520362000101016393770076051E414C026200620072630201710163E6BA00"
)
SML_FILE = (  # an ISKRA meter's
    "7605006345516200620072630101760101050021171B0B0A0149534B00047A5544726201650021155A620163828E0076050063455262006200"
    "7263070177010B0A0149534B00047A5544070100620AFFFF726201650021155A757707010060320101010101010449534B0177070100600100"
    "FF010101010B0A0149534B00047A55440177070100010800FF650010010401621E52FF65000C13610177070100020800FF0101621E52FF6200"
    "0177070100100700FF0101621B5200530860010101638E71007605006345536200620072630201710163AD5500"
)
NAV_PVT = (  # a u-blox receiver's
    "01075c00081a021dea07071f0f0a3b3717000000866a01000301ea20212bfd3bb4502f08809cffffb6070000da020000f4030000ffff"
    "fffffbffffff0100000006000000000000005000000080a81201590000002c2e4c3300000000000000007e4b"
)
RTCM_1005 = "d300133ed7d30202980edeef34b4bd62ac0941986f33360b98"  # the example of the standard
MBUS = "681f1f6808027278563412244001075500000003131531 00da023b13018b60043718021816"  # m-bus.com's water meter

VECTORS = [
    # COBS: the table of its article in Wikipedia, after the paper
    ("cobs", {}, "01 01 00", "00"),
    ("cobs", {}, "01 01 01 00", "00 00"),
    ("cobs", {}, "01 02 11 01 00", "00 11 00"),
    ("cobs", {}, "03 11 22 02 33 00", "11 22 00 33"),
    ("cobs", {}, "05 11 22 33 44 00", "11 22 33 44"),
    ("cobs", {"reduced": True}, "05 11 22 33 44 00", "11 22 33 44"),
    ("cobs", {"reduced": True}, "08 00", "08"),  # COBS/R saves the byte
    # RFC 1055: END between, ESC ESC_END and ESC ESC_ESC within
    ("slip", {}, "c0 01 db dc 02 db dd 03 c0", "01 c0 02 db 03"),
    ("slip", {}, "c0 c0 c0 48 69 c0", "48 69"),
    # Sensirion SHDLC: start of an SPS30's measurement, and its manual's stuffed bytes
    ("start_end", {"start": "7e", "end": "7e", "escape": {"byte": "7d", "xor": "20"}, "check": "inv8"},
     "7e 00 00 02 01 03 f9 7e", "00 00 02 01 03"),
    ("start_end", {"start": "7e", "end": "7e", "escape": {"byte": "7d", "xor": "20"}},
     "7e 43 7d 5e 7d 5d 7d 31 7d 33 7e", "43 7e 7d 11 13"),
    # HDLC: the X-25 check of an LCP packet (RFC 1662 escapes)
    ("start_end", {"start": "02", "end": "03"}, "02 31 32 2e 35 03", "31 32 2e 35"),
    ("start_end", {"start": "10 02", "end": "10 03", "escape": {"byte": "10"}}, "10 02 01 10 10 02 10 03", "01 10 02"),
    # Plantower PMS5003: sum of all bytes
    ("fixed", {"sync": "42 4d", "size": 32, "check": {"sum": "sum16", "over": "frame"}},
     "42 4d 00 1c 00 03 00 05 00 05 00 03 00 05 00 05 02 61 00 ba 00 22 00 03 00 01 00 01 97 00 02 a0",
     "00 1c 00 03 00 05 00 05 00 03 00 05 00 05 02 61 00 ba 00 22 00 03 00 01 00 01 97 00"),
    # Winsen MH-Z19: its manual's answer
    ("fixed", {"sync": "ff", "size": 9, "check": "lrc8"}, "ff 86 02 60 47 00 00 00 d1", "86 02 60 47 00 00 00"),
    # Modbus RTU: read ten holding registers of unit 1
    ("modbus_rtu", {}, "01 03 00 00 00 0a c5 cd", "01 03 00 00 00 0a"),
    ("sml", {}, f"1b1b1b1b01010101 {SML_FILE} 1b1b1b1b1a00d54b", SML_FILE),
    ("sml", {}, f"1b1b1b1b01010101 {DVS74_FILE} 00000000 1b1b1b1b1a04dad0", DVS74_FILE),
    ("sml", {}, "1b1b1b1b01010101 12 1b1b1b1b1b1b1b1b 000000 1b1b1b1b1a03be25", "12 1b1b1b1b"),
    ("ubx", {}, f"b562 {NAV_PVT}", NAV_PVT[:4] + NAV_PVT[8:-4]),
    ("gnss", {}, f"b562 {NAV_PVT}", f"b562 {NAV_PVT}"),
    ("gnss", {}, RTCM_1005, RTCM_1005),
    ("mbus", {}, MBUS, "08027278563412244001075500000003131531 00da023b13018b6004371802"),
    # EN 13757-4: its example of frame format A
    ("wmbus", {}, "0f44ae0c785634120107 4447 780b13436587 1e6d", "0f44ae0c785634120107 780b13436587"),
    ("wmbus", {"format": "bare"}, "0f44ae0c785634120107 780b13436587", "0f44ae0c785634120107 780b13436587"),
    # AMBER's stick: FF 03, length, telegram, exclusive or of all
    ("length_prefixed", {"sync": "ff 03", "check": {"sum": "xor8", "over": "frame"}}, "ff 03 02 11 22 cd", "11 22"),
    # iM871A's HCI: A5, endpoint, message, length
    ("length_prefixed", {"sync": "a5", "length_at": 3, "payload": "body"}, "a5 02 03 02 44 93", "02 03 02 44 93"),
]  # fmt: skip


@pytest.mark.parametrize(("framing", "options", "frame", "payload"), VECTORS)
def test_a_frame_of_a_specification(framing: str, options: dict[str, object], frame: str, payload: str) -> None:
    heard = hear(make_framer(framing, options), [(bytes.fromhex(frame), 0.0)])

    assert [(one.payload.hex(), one.fault) for one in heard] == [(bytes.fromhex(payload).hex(), "")]


def test_a_telegram_is_what_the_decoder_takes() -> None:
    stream = b"...(0003)\r\n!8A1B\r\n" + TELEGRAM + TELEGRAM

    heard = make_framer("dsmr").feed_bytes(stream, 0.0)

    assert heard == [Frame(TELEGRAM), Frame(TELEGRAM)]
    assert make_decoder("dsmr").decode(heard[0].payload, {})[0]["header"] == "ISk5\\2MT382-1000"


def test_a_telegram_without_a_checksum_is_for_the_decoder_to_judge() -> None:
    """Whether one must be there depends on the version, which only the decoder knows."""
    old = b"/KMP5 KA6U001585575011\r\n\r\n0-0:96.1.1(3031)\r\n1-0:1.8.1(00185.000*kWh)\r\n!\r\n"

    assert make_framer("dsmr").feed_bytes(old, 0.0) == [Frame(old)]


def test_a_telegram_whose_ends_of_lines_were_changed_is_right_to_framer_and_decoder_alike() -> None:
    relayed = TELEGRAM.replace(b"\r\n", b"\n")

    assert make_framer("dsmr").feed_bytes(relayed, 0.0) == [Frame(relayed)]
    assert make_decoder("dsmr").decode(relayed, {})


def test_a_wrong_telegram_is_told_with_what_would_be_right() -> None:
    (wrong,) = make_framer("dsmr").feed_bytes(TELEGRAM.replace(b"01.193", b"01.194"), 0.0)

    assert wrong.fault == "checksum"
    assert wrong.detail.startswith("checksum E47C is wrong; ")


def test_sentences_are_what_the_decoder_takes() -> None:
    heard = make_framer("nmea").feed_bytes(b"7,M,,*5B\r\n" + NMEA, 0.0)

    assert [frame.payload for frame in heard] == NMEA.splitlines()
    assert [make_decoder("nmea").decode(frame.payload, {})[0]["sentence"] for frame in heard] == ["GGA", "RMC", "GSV"]


def test_a_receiver_may_mix_all_it_knows() -> None:
    """Also directly behind each other, and a tag block before a sentence of AIS."""
    ais = b"\\s:2573135,c:1671620143*0B\\!BSVDM,1,1,,A,13nN34?000QFpgRWnQLLSPpF00SO,0*06"
    ubx, rtcm = bytes.fromhex(f"b562{NAV_PVT}"), bytes.fromhex(RTCM_1005)
    sentences = NMEA.splitlines()
    framer = make_framer("gnss")
    stream = (
        sentences[0] + b"\r\n" + ubx + rtcm + sentences[1] + ubx + b"\xff" + ais + b"\r\n" + rtcm + sentences[2] + b"\n"
    )

    heard = framer.feed_bytes(stream, 0.0)

    assert heard == [Frame(one) for one in (sentences[0], ubx, rtcm, sentences[1], ubx, ais, rtcm, sentences[2])]
    assert framer.skipped_bytes == 1


def test_a_sentence_without_a_checksum_passes_if_asked() -> None:
    stream = b"$GPGGA,123519,4807.038,N\r\n"

    assert make_framer("gnss", {"checksum": "optional"}).feed_bytes(stream, 0.0) == [Frame(stream[:-2])]
    assert [frame.fault for frame in make_framer("gnss").feed_bytes(stream, 0.0)] == ["checksum"]


def test_a_sentence_that_is_not_whole_is_told() -> None:
    """From the log of an old receiver, which lost a character now and then."""
    stream = b"$GPGSV,3,3,11,25,20,108,00*7\r\n$GPGLL,4527.458,S,16709.1$PGRMZ,48,f,3*27\r\n# a note: $5\r\n"

    assert make_framer("nmea").feed_bytes(stream, 0.0) == [
        Frame(
            b"$GPGSV,3,3,11,25,20,108,00*7",
            "malformed",
            "a line begins as a sentence, and its fields or its checksum are not whole",
        ),
        Frame(
            b"$GPGLL,4527.458,S,16709.1",
            "malformed",
            "a line begins as a sentence, and its fields or its checksum are not whole",
        ),
        Frame(b"$PGRMZ,48,f,3*27"),
    ]


def test_escapes_within_an_sml_file_are_undone() -> None:
    """Also where bytes of the file look like the beginning of one, and right before the end."""
    for content in (
        "1b1b1b1b",
        "1b" * 5,
        "1b" * 11,
        "1b1b1b1b1a00",
        "1b1b1b1b01010101",
        "00" + "1b" * 3,
        "1b1b1b1b1b00",
    ):
        payload = bytes.fromhex("76" + content)
        framer = make_framer("sml")

        assert framer.feed_bytes(b"\x1b" + framer.encode(payload) * 2, 0.0) == [Frame(payload)] * 2


def test_a_meter_with_the_other_crc_can_be_read() -> None:
    frame = make_framer("sml", {"crc": "kermit"}).encode(b"\x76\x00")

    assert [one.fault for one in make_framer("sml").feed_bytes(frame, 0.0)] == ["checksum"]
    assert make_framer("sml", {"crc": "kermit"}).feed_bytes(frame, 0.0) == [Frame(b"\x76\x00")]


def test_a_cul_stick_says_lines() -> None:
    assert make_framer("lines").feed_bytes(b"b2E4493157856341233037A\r\n", 0.0) == [Frame(b"b2E4493157856341233037A")]


def test_a_sentence_whose_end_was_lost_is_one_where_the_next_begins() -> None:
    """Of a Globalsat BU-353 log: its checksum is right, and what follows is whole."""
    stream = b"$GPGSA,A,1,,,,,,,,,,,,,,,*1E$GPRMC,235949.00,V,0000.0000,N,00000.0000,E,,,161206,,,N*44\r\n"

    for size in (1, 7, len(stream)):
        framer = make_framer("nmea")
        heard = [one for at in range(0, len(stream), size) for one in framer.feed_bytes(stream[at : at + size], 0.0)]
        assert heard == [Frame(stream[:28]), Frame(stream[28:-2])]
    assert [one.fault for one in make_framer("nmea").feed_bytes(stream.replace(b"*1E", b"*1F"), 0.0)] == [
        "checksum",
        "",
    ]


def test_letters_in_a_binary_stream_are_no_sentence() -> None:
    """A receiver that speaks a protocol of its own must not fill the dead letters."""
    framer = make_framer("gnss")

    assert framer.feed_bytes(b"\x01!C4B\xc1$ABC\x02", 0.0) == []
    assert framer.skipped_bytes > 0


def test_a_telegram_may_hold_a_text_of_ff_under_a_checksum() -> None:
    """AUX meters in Hungary fill theirs with it; without a checksum such bytes are noise."""
    body = b"/AUX59903218166\r\n\r\n0-0:96.13.0(" + b"\xff" * 100 + b")\r\n!"
    telegram = body + b"%04X\r\n" % crc16(body)

    assert make_framer("dsmr").feed_bytes(telegram, 0.0) == [Frame(telegram)]
    assert [one.fault for one in make_framer("dsmr").feed_bytes(body + b"\r\n", 0.0)] == ["malformed"]
    assert [one.fault for one in make_framer("dsmr").feed_bytes(telegram.replace(b"\xff)", b"\xfe)"), 0.0)] == [
        "checksum"
    ]
