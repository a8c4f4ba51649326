"""``sources: serial``: a device on a serial port, how the port is set, and how its bytes become messages."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from fieldgate_devices.files.quantities import Duration, Size, parse_size
from fieldgate_devices.files.section import Section
from fieldgate_devices.framing.spec import FramingSpec

__all__ = ["PollConfig", "Rs485Config", "SendConfig", "SerialSourceConfig"]

_SCHEMES: Final = ("rfc2217", "socket", "loop", "hwgrep", "spy", "alt", "cp2110")
_FORMS: Final = (
    "write a path such as /dev/serial/by-id/usb-…, usb:VID:PID or usb:VID:PID:SERIAL with four hexadecimal digits "
    "each, or a URL such as rfc2217://HOST:PORT or socket://HOST:PORT"
)
_USB: Final = re.compile(r"usb:[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}(:.+)?")
_NETWORK: Final = re.compile(r"(rfc2217|socket)://(\[[0-9A-Fa-f:.]+\]|[^:/?#\[\]]+):([0-9]{1,5})([/?].*)?")
_ESCAPE: Final = re.compile(rb"\\(x[0-9A-Fa-f]{2}|[\x00-\x7f]|$)")
_ESCAPES: Final = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"e": b"\x1b", b"\\": b"\\"}
_KNOWN_ESCAPES: Final = r"\r \n \t \0 \e \\ \xHH"
_MAX_SEND: Final = 4096


def check_port(text: str) -> str:
    """A serial port as pyserial knows it, or the identity of a USB adapter."""
    scheme, is_url, _ = text.partition("://")
    if not text or not text.isprintable() or text != text.strip():
        raise ValueError(f"{text!r} is no serial port; {_FORMS}")
    if text.lower().startswith("usb:"):
        if not _USB.fullmatch(text):
            raise ValueError(f"{text!r} is no USB identity; write usb:VID:PID or usb:VID:PID:SERIAL, as usb:0403:6001")
    elif is_url:
        if scheme not in _SCHEMES:
            known = ", ".join(f"{one}://" for one in _SCHEMES)
            raise ValueError(f"{text!r} is a URL that no driver knows; allowed: {known}")
        if scheme in ("rfc2217", "socket"):
            match = _NETWORK.fullmatch(text)
            if match is None or not 0 < int(match[3]) < 65536:
                raise ValueError(f"{text!r} has no usable host or port; write {scheme}://HOST:PORT")
    elif not text.startswith("/"):
        raise ValueError(f"{text!r} is no serial port; {_FORMS}")
    return text


def unescaped(text: str) -> bytes:
    r"""Return ``text`` as bytes: UTF-8, with \r \n \t \0 \e \\ and \xHH for single bytes.

    Raises:
        ValueError: it holds another escape.
    """

    def byte(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1] == b"x" and len(code) == 3:
            return bytes([int(code[1:], 16)])
        if code not in _ESCAPES:
            raise ValueError(f"{text!r} holds the unknown escape {match[0].decode()!r}; allowed: {_KNOWN_ESCAPES}")
        return _ESCAPES[code]

    return _ESCAPE.sub(byte, text.encode())


def _check_text(text: str) -> str:
    unescaped(text)
    return text


def _check_hex(text: str) -> str:
    with suppress(ValueError):
        if bytes.fromhex(text):
            return text
    raise ValueError(f"{text!r} is not hexadecimal; write two digits for each byte, as '02 30 03'")


def _on_or_off(written: object) -> object:
    return {True: "on", False: "off"}.get(written, written) if isinstance(written, bool) else written


def _or_a_text(schema: dict[str, Any]) -> None:
    schema["type"] = ["object", "string"]


class SendConfig(Section):
    """What is sent to the device; a plain text is ``text``."""

    model_config = ConfigDict(json_schema_extra=_or_a_text)

    text: Annotated[str, Field(min_length=1, max_length=_MAX_SEND), AfterValidator(_check_text)] | None = Field(
        None,
        description="As text, with \\r \\n \\t \\0 \\e \\\\ and \\xHH for single bytes.",
        examples=["MEAS?\\r\\n"],
    )
    hex: Annotated[str, Field(min_length=1, max_length=3 * _MAX_SEND), AfterValidator(_check_hex)] | None = Field(
        None, description="As hexadecimal digits, two for each byte.", examples=["02 30 31 03"]
    )

    @model_validator(mode="before")
    @classmethod
    def _take_a_text(cls, written: object) -> object:
        return {"text": written} if isinstance(written, str) else written

    @model_validator(mode="after")
    def _check_one(self) -> SendConfig:
        if (self.text is None) == (self.hex is None):
            raise ValueError("has to be one thing to send: a text, {text: …} or {hex: …}")
        return self

    @property
    def content(self) -> bytes:
        """The bytes."""
        return bytes.fromhex(self.hex) if self.hex is not None else unescaped(self.text or "")


class PollConfig(Section):
    """A question that is sent again and again, for devices that only answer."""

    send: SendConfig = Field(description="What is sent.", examples=["MEAS?\\r\\n"])
    every: Annotated[float, Duration("10ms", "1d")] = Field(
        10.0, description="How often; counted from one question to the next, whether or not it was answered."
    )


class Rs485Config(Section):
    """RS-485 by the port's own driver, which switches between sending and receiving with RTS."""

    rts_on_send: bool = Field(True, description="Level of RTS while sending.")
    rts_after_send: bool = Field(False, description="Level of RTS otherwise.")
    delay_before: Annotated[float, Duration("0s", "1s")] = Field(0.0, description="Wait between RTS and the first bit.")
    delay_after: Annotated[float, Duration("0s", "1s")] = Field(0.0, description="Wait between the last bit and RTS.")
    loopback: bool = Field(False, description="Whether what is sent is heard, too.")


Signal = Annotated[Literal["on", "off", "leave"], BeforeValidator(_on_or_off)]


class SerialSourceConfig(Section):
    """A serial port that is read."""

    port: Annotated[str, Field(max_length=1024), AfterValidator(check_port)] = Field(
        description="The device: a path that stays when it is plugged in again (/dev/serial/by-id/…; 'ls -l "
        "/dev/serial/by-id' shows them), usb:VID:PID or usb:VID:PID:SERIAL, or a URL of pyserial "
        "(rfc2217://HOST:PORT, socket://HOST:PORT).",
        examples=["/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"],
    )
    baud: int = Field(9600, ge=50, le=12_000_000, description="Bits per second.")
    bytesize: Literal[8, 7, 6, 5] = Field(8, description="Data bits.")
    parity: Literal["none", "even", "odd", "mark", "space"] = Field("none", description="Parity bit.")
    stopbits: Literal[1, 2] = Field(1, description="Stop bits (with 5 data bits 2 means one and a half).")
    flow_control: Literal["none", "rtscts", "xonxoff"] = Field(
        "none", description="How one side tells the other to wait: not at all, by the lines RTS and CTS, or by bytes."
    )
    dtr: Signal = Field(
        "on",
        description="Line DTR once the port is open. Many Arduinos restart when a port is opened; with 'leave' the "
        "line is not touched, and left as it is when the port is closed, so that only the first opening after it was "
        "plugged in restarts them.",
    )
    rts: Signal = Field("on", description="Line RTS once the port is open; as dtr.")
    rs485: Rs485Config | None = Field(
        None,
        description="For ports whose driver can do RS-485 (most USB adapters do it by themselves and need none).",
        examples=[
            {
                "rts_on_send": True,
                "rts_after_send": False,
                "delay_before": "1ms",
                "delay_after": "1ms",
                "loopback": False,
            }
        ],
    )
    framing: FramingSpec = Field(
        default_factory=lambda: {"lines": None},
        json_schema_extra=_or_a_text,
        description="Where in the bytes a message begins and ends: a framing's name, or the name with its options.",
        examples=["lines", {"cobs": {"check": {"crc": "CRC-16/MODBUS", "order": "little"}}}],
    )
    profile: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Profile of what comes here. Default: the one that has match: {serial: NAME}.",
        examples=["scale"],
    )
    device: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Name of the device, where the profile does not make one of the message. Default: the source's "
        "name.",
        examples=["scale-1"],
    )
    init_after: Annotated[float, Duration("0s", "1m")] = Field(
        0.0, description="Wait between opening and the first byte that is sent, for devices that start up then."
    )
    init: Annotated[tuple[SendConfig, ...], Field(strict=False, max_length=100)] = Field(
        (),
        description="What is sent once after each opening: texts with \\r, \\n, \\xHH, or {hex: …}.",
        examples=[["ATE0\\r", {"hex": "02 31 03"}]],
    )
    poll: PollConfig | None = Field(
        None,
        description="What is sent again and again, for devices that only answer.",
        examples=[{"send": "MEAS?\\r\\n", "every": "10s"}],
    )
    write_timeout: Annotated[float, Duration("10ms", "5m")] = Field(
        5.0, description="How long the port may take to take what is to be sent."
    )
    max_unsettled: Annotated[int, Size("1KiB", "1GiB")] = Field(
        parse_size("256KiB"),
        description="Bytes of messages that may wait to be safe; beyond it nothing more is read, and the port's own "
        "buffer (4 KiB) and flow control hold what comes.",
    )
