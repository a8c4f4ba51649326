"""Binary layouts of well-known devices, by the test vectors of those who make them."""

from __future__ import annotations

import pytest

from decoder_kit import CAYENNE, RUUVI_3, RUUVI_5, decoded

# https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2, "Test vectors"
RUUVI_5_VALID = {
    "temperature": 4860,  # times 0.005 is 24.3 °C
    "humidity": 21396,  # times 0.0025 is 53.49 %
    "pressure": 50044,  # plus 50,000 Pa
    "acceleration_x": 4,
    "acceleration_y": -4,
    "acceleration_z": 1036,
    "battery": 1377,  # plus 1,600 mV
    "tx_power": 22,  # times 2 dBm, minus 40
    "movements": 66,
    "sequence": 205,
    "mac": "cbb8334c884f",
}
RUUVI_5_MAXIMUM = {
    "temperature": 32767,
    "humidity": 65534,
    "pressure": 65534,
    "acceleration_x": 32767,
    "acceleration_y": 32767,
    "acceleration_z": 32767,
    "battery": 2046,
    "tx_power": 30,
    "movements": 254,
    "sequence": 65534,
    "mac": "cbb8334c884f",
}
RUUVI_5_MINIMUM = {
    "temperature": -32767,
    "humidity": 0,
    "pressure": 0,
    "acceleration_x": -32767,
    "acceleration_y": -32767,
    "acceleration_z": -32767,
    "battery": 0,
    "tx_power": 0,
    "movements": 0,
    "sequence": 0,
    "mac": "cbb8334c884f",
}
RUUVI_5_INVALID = {
    "temperature": -32768,
    "humidity": 65535,
    "pressure": 65535,
    "acceleration_x": -32768,
    "acceleration_y": -32768,
    "acceleration_z": -32768,
    "battery": 2047,
    "tx_power": 31,
    "movements": 255,
    "sequence": 65535,
    "mac": "ffffffffffff",
}


@pytest.mark.parametrize(
    ("payload", "record"),
    [
        ("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F", RUUVI_5_VALID),
        ("057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F", RUUVI_5_MAXIMUM),
        ("058001000000008001800180010000000000CBB8334C884F", RUUVI_5_MINIMUM),
        ("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF", RUUVI_5_INVALID),
    ],
)
def test_ruuvi_format_5_by_its_test_vectors(payload: str, record: dict[str, object]) -> None:
    assert decoded("binary", bytes.fromhex(payload), RUUVI_5) == [{"data_format": 5, **record}]


@pytest.mark.parametrize(
    ("payload", "temperature", "rest"),
    [  # https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-3-rawv1
        ("03291A1ECE1EFC18F94202CA0B53", 26.3, [41, 52766, -1000, -1726, 714, 2899]),
        ("03FF7F63FFFF7FFF7FFF7FFFFFFF", 127.99, [255, 65535, 32767, 32767, 32767, 65535]),
        ("0300FF6300008001800180010000", -127.99, [0, 0, -32767, -32767, -32767, 0]),
    ],
)
def test_ruuvi_format_3_has_a_sign_a_whole_and_hundredths(payload: str, temperature: float, rest: list[int]) -> None:
    record = decoded("binary", bytes.fromhex(payload), RUUVI_3)[0]

    assert record["temperature"] == temperature
    assert [value for name, value in record.items() if name not in {"data_format", "temperature"}] == rest


@pytest.mark.parametrize(
    ("payload", "record"),
    [  # https://docs.mydevices.com/docs/lorawan/cayenne-lpp, the examples
        ("03 67 01 10 05 67 00 FF", {"temperature_3": 272, "temperature_5": 255}),
        ("01 67 FF D7", {"temperature_1": -41}),
        ("06 71 04 D2 FB 2E 00 00", {"x_6": 1234, "y_6": -1234, "z_6": 0}),
        ("01 88 06 76 5f f2 96 0a 00 03 e8", {"latitude_1": 423519, "longitude_1": -879094, "altitude_1": 1000}),
    ],
)
def test_cayenne_lpp_is_a_group_that_chooses_by_its_tag(payload: str, record: dict[str, object]) -> None:
    assert decoded("binary", bytes.fromhex(payload), CAYENNE) == [record]
