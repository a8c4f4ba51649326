"""Bytes within a message: a member of JSON, hex or base64, compressed."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
import zstandard
from pydantic import ValidationError

from decoder_kit import RUUVI_5, Options, decoded, refused
from fieldgate_devices.decoders import make_decoder

LORAWAN = {
    "end_device_ids": {"device_id": "d1"},
    "uplink_message": {"f_port": 2, "frm_payload": "AWcBEA==", "rx_metadata": [{"rssi": -112}]},
}
LAYOUT = {"layout": [{"skip": "u16"}, {"name": "t", "type": "i16"}]}
LARGE = b'{"a":"' + b"x" * 2_000_000 + b'"}'


def test_a_lorawan_uplink_is_decoded_and_kept_around_the_values() -> None:
    """The Things Stack: the device and the port stand beside the payload."""
    options: Options = {**LAYOUT, "of": "uplink_message.frm_payload", "text": "base64", "around": "uplink"}

    assert decoded("binary", json.dumps(LORAWAN).encode(), options) == [
        {
            "t": 272,
            "uplink": {
                "end_device_ids": {"device_id": "d1"},
                "uplink_message": {"f_port": 2, "rx_metadata": [{"rssi": -112}]},
            },
        }
    ]


@pytest.mark.parametrize(
    "written",
    [b"05 12FC5394C37C0004FFFC040CAC364200CDCBB8334C884F\n", b"0x0512fc5394c37c0004fffc040cac364200cdcbb8334c884f"],
)
def test_hexadecimal(written: bytes) -> None:
    assert decoded("binary", written, {**RUUVI_5, "text": "hex"})[0]["temperature"] == 4860


@pytest.mark.parametrize("written", [b"eyJhIjoiPz8_In0=", b"eyJhIjoiPz8/In0", b"eyJh\r\nIjoi Pz8/In0=\n"])
def test_base64_in_either_alphabet_padded_or_not(written: bytes) -> None:
    assert decoded("json", written, {"text": "base64"}) == [{"a": "???"}]


def test_a_text_that_holds_json_is_read_again() -> None:
    assert decoded("json", b'{"payload":"{\\"t\\":1}"}', {"of": "payload"}) == [{"t": 1}]


def test_a_list_of_bytes() -> None:
    """Node.js writes a buffer as {"type": "Buffer", "data": [1, 2]}."""
    assert decoded("binary", b'{"p":{"type":"Buffer","data":[0,0,1,16]}}', {**LAYOUT, "of": "p.data"}) == [{"t": 272}]


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("gzip", gzip.compress(b'{"a":1}', mtime=0)),
        ("zlib", zlib.compress(b'{"a":1}')),
        ("zstd", zstandard.compress(b'{"a":1}')),
    ],
)
def test_compressed(name: str, packed: bytes) -> None:
    options: Options = {"compression": name}

    assert decoded("json", packed, options) == [{"a": 1}]
    for end in range(1, len(packed)):
        assert refused("json", packed[:end], options)
    if name != "zstd":
        assert refused("json", packed + b"x", options) == f"something follows the {name} payload"
        assert refused("json", b"not packed", options) == f"not {name}, or damaged"
    else:
        assert refused("json", packed + b"x", options).startswith("not one frame of zstd")
        assert refused("json", b"not packed", options).startswith("not one frame of zstd")


@pytest.mark.parametrize("name", ["gzip", "zlib", "zstd"])
def test_a_bomb_is_refused_at_the_limit(name: str) -> None:
    """A kilobyte must not become a gigabyte."""
    packed = {"gzip": gzip.compress, "zlib": zlib.compress, "zstd": zstandard.compress}[name](LARGE)

    assert refused("json", packed, {"compression": name}) == (
        f"unpacked, the {name} payload has more than 1048576 bytes"
    )


def test_a_zstd_frame_that_wants_gigabytes_of_memory_is_refused() -> None:
    packed = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    ).compressobj()
    frame = packed.compress(b'{"a":1}') + packed.flush()

    assert refused("json", frame, {"compression": "zstd"}).startswith("not one frame of zstd")


def test_a_compressed_text_that_is_cut_is_not_taken_for_a_shorter_one() -> None:
    """Lines that are missing at the end could not be seen in the text."""
    text = "".join(f"{number},{number * 7919 % 1000}\n" for number in range(900)).encode()
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    unsized = stream.compress(text) + stream.flush()

    for name, packed in (("gzip", gzip.compress(text)), ("zstd", zstandard.compress(text)), ("zstd", unsized)):
        assert len(decoded("csv", packed, {"compression": name})) == 900
        for end in range(1, len(packed), 97):
            assert refused("csv", packed[:end], {"compression": name})


def test_a_zstd_frame_that_does_not_say_its_size_is_bounded_too() -> None:
    stream = zstandard.ZstdCompressor(write_content_size=False).compressobj()

    assert "unpacked more than 1048576 bytes" in refused(
        "json", stream.compress(LARGE) + stream.flush(), {"compression": "zstd"}
    )


@pytest.mark.parametrize(
    ("options", "payload", "reason"),
    [
        ({"of": "p"}, b'{"q":1}', "there is no payload at p"),
        ({"of": "p"}, b'{"p":1}', "what is at p is no text"),
        ({"of": "p"}, b'{"p":[256]}', "the list at p holds something else than bytes (0 to 255)"),
        ({"of": "p"}, b'{"p":[true]}', "the list at p holds something else than bytes (0 to 255)"),
        ({"of": "p"}, b'{"p":""}', "the payload is empty"),
        ({"of": "p"}, b"no", "not JSON: Input data was truncated; it begins with 'no'"),
        ({"text": "hex"}, b"0g", "not hexadecimal: '0g'"),
        ({"text": "hex"}, b"012", "not hexadecimal: '012'"),
        ({"text": "base64"}, b"a*b", "not base64: 'a*b'"),
        ({"text": "base64"}, b"abcde", "not base64: 'abcde'"),
        ({"text": "hex"}, b"  ", "the payload is empty"),
    ],
)
def test_what_is_not_packed_like_that_is_refused(options: Options, payload: bytes, reason: str) -> None:
    assert refused("json", payload, options) == reason


def test_a_path_that_is_none_is_refused_when_it_is_written() -> None:
    with pytest.raises(ValidationError, match=r"'a\.\.b' is not a path"):
        make_decoder("json", {"of": "a..b"})
    with pytest.raises(ValidationError, match="leads out of the message"):
        make_decoder("json", {"of": "$topic.device"})
    with pytest.raises(ValidationError, match="around needs of"):
        make_decoder("json", {"around": "m"})


def test_a_wrapped_decoder_says_of_texts_what_its_decoder_says() -> None:
    assert make_decoder("csv", {"text": "hex"}).is_text
    assert not make_decoder("json", {"text": "hex"}).is_text
