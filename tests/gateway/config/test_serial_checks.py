"""What may surprise about a serial source, and what stands for bytes in its configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate.config import serial_checks
from fieldgate.config.loader import read
from fieldgate.config.serial import PollConfig, SendConfig, SerialSourceConfig, unescaped


def warnings_of(folder: Path, *serials: str) -> list[str]:
    file = folder / "fieldgate.yaml"
    lines = [f"  - {{name: s{number}, serial: {one}}}" for number, one in enumerate(serials)]
    file.write_text("\n".join(["uplinks: {a: {mqtt: {url: 'mqtt://127.0.0.1:9'}}}", "sources:", *lines]), "utf-8")
    reading = read(file)
    assert reading.errors == []
    return [str(one).removeprefix(f"{file}:") for one in reading.warnings if "serial" in str(one) or "port" in str(one)]


def test_a_name_that_the_kernel_deals_out_is_warned_of(tmp_path: Path) -> None:
    """The next time it is plugged in it may be another device's."""
    (warning,) = warnings_of(tmp_path, "{port: /dev/ttyUSB77}", "{port: /dev/ttyAMA0}", "{port: /dev/serial/by-id/x}")

    assert warning == (
        "3:31: warning: port: '/dev/ttyUSB77' may be another device after it was plugged in again; "
        "write its link of /dev/serial/by-id, or usb:VID:PID:SERIAL"
    )


def test_the_stable_link_is_named_if_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody should have to look for it."""
    (tmp_path / "ttyUSB0").touch()
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-FTDI_A").symlink_to(tmp_path / "ttyUSB0")
    (by_id / "usb-other").symlink_to(tmp_path / "ttyUSB1")
    monkeypatch.setattr(serial_checks, "_BY_ID", by_id)

    assert serial_checks._stable_name(str(tmp_path / "ttyUSB0")) == str(by_id / "usb-FTDI_A")
    assert serial_checks._stable_name(str(tmp_path / "ttyUSB2")) == ""


def test_two_names_of_one_port_are_found_out(tmp_path: Path) -> None:
    """A link and what it leads to."""
    (tmp_path / "by-id").symlink_to("/dev/null")
    file = tmp_path / "fieldgate.yaml"
    ports = [str(tmp_path / "by-id"), "/dev/null"]
    sources = [{"name": f"s{number}", "serial": {"port": port}} for number, port in enumerate(ports)]
    file.write_text(json.dumps({"sources": sources}))

    (error,) = read(file).errors

    assert error.message == "port: '/dev/null' is read by sources[0] already; a port has one reader"


def test_a_plain_file_is_warned_of(tmp_path: Path) -> None:
    """It may be replaced by a device, and most likely is a slip."""
    (tmp_path / "dump.txt").touch()

    (warning,) = warnings_of(tmp_path, f"{{port: {tmp_path / 'dump.txt'}}}")

    assert "is a plain file, no serial port" in warning


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("AT\\r\\n", b"AT\r\n"),
        ("\\x02\\x30\\x03", b"\x020\x03"),
        ("°\\t\\0\\e\\\\x41", "°\t\0\x1b\\x41".encode()),
        ("plain", b"plain"),
    ],
)
def test_escapes_stand_for_bytes(text: str, content: bytes) -> None:
    """The hands of whoever writes YAML know these from everywhere."""
    assert unescaped(text) == content
    assert SendConfig.model_validate(text).content == content


@pytest.mark.parametrize("text", ["\\q", "end\\", "\\x1", "\\xgg"])
def test_other_escapes_are_refused(text: str) -> None:
    """Guessing would send something else than meant."""
    with pytest.raises(ValueError, match="unknown escape"):
        unescaped(text)


@given(st.binary(min_size=1, max_size=50))
def test_hex_is_any_bytes(content: bytes) -> None:
    """For what has no text."""
    assert SendConfig.model_validate({"hex": content.hex(" ")}).content == content


@pytest.mark.parametrize(("written", "meant"), [(True, "on"), (False, "off"), ("on", "on"), ("leave", "leave")])
def test_a_line_may_be_written_as_truth(written: object, meant: str) -> None:
    """`true` and `on` are the same to people."""
    config = SerialSourceConfig.model_validate({"port": "/dev/x", "dtr": written, "rts": written})

    assert (config.dtr, config.rts) == (meant, meant)


def test_a_poll_has_an_interval_of_its_own() -> None:
    """Without one, a moderate pace."""
    assert PollConfig.model_validate({"send": "?"}).every == 10.0
