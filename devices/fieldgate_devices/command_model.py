"""What a device can be told: the commands of its profile."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section
from fieldgate_devices.modbus.spec import ModbusWrite
from fieldgate_devices.profile_values import FieldName, PathText, one_or_more

__all__ = ["DEFAULT_TIMEOUT_S", "CommandSpec", "PublishSpec", "ReplySpec", "SerialSpec"]

DEFAULT_TIMEOUT_S = 10.0


def _topic_alone(written: object) -> object:
    return {"topic": written} if isinstance(written, str) else written


def _text_alone(written: object) -> object:
    return {"text": written} if isinstance(written, str) else written


def _register_alone(written: object) -> object:
    return {"register": written} if isinstance(written, str | list) else written


def _check_regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


class PublishSpec(Section):
    """A command that is a message to a topic which the device subscribes to; a topic alone is short for topic."""

    topic: str = Field(
        max_length=1024,
        description="Topic, with captures of match and arguments. What clients of the gateway publish there is no "
        "event.",
        examples=["site/a/boiler/{device}/set"],
    )
    qos: Literal[0, 1, 2] = Field(
        1, description="QoS. With 1 and 2 the command is done when the device acknowledges, with 0 once it is written."
    )
    retain: bool = Field(
        False, description="Whether the broker keeps it for who subscribes later, for as long as it is not too old."
    )
    text: str | None = Field(
        None,
        max_length=4096,
        description="The payload as a text with {arguments}. Default: the arguments as a JSON mapping.",
        examples=["{state}"],
    )
    json_: Any = Field(
        None,
        alias="json",
        description="The payload as JSON; a text that is one {argument} becomes its value, a member whose argument is "
        "left out is left out. Default: the arguments as a JSON mapping.",
        examples=[{"method": "Switch.Set", "params": {"id": "{channel}", "on": "{on}"}}],
    )


class SerialSpec(Section):
    """A command that is written to the device's serial port, in the port's frame; a text alone is short for text."""

    text: str | None = Field(
        None,
        max_length=4096,
        description="What is written, without what the framing of the port adds (the end of a line), with {arguments} "
        "and the escapes \\r, \\n, \\t, \\0, \\xHH and \\\\.",
        examples=["SET {limit}"],
    )
    hex: str | None = Field(
        None,
        max_length=4096,
        description="The bytes in hexadecimal; {argument:u16} is a whole number: u8, i8, u16, i16, u32, i32, with le "
        "behind it the least byte first.",
        examples=["10 {limit:u16le}"],
    )


class ReplySpec(Section):
    """What the device says when it has carried the command out; all keys that are written must hold."""

    mqtt: str | None = Field(
        None,
        max_length=1024,
        description="Topic of the reply, with captures and arguments. It must be one whose messages are events.",
        examples=["stat/{device}/RESULT"],
    )
    json_: dict[PathText, Any] = Field(
        default_factory=dict,
        alias="json",
        max_length=16,
        description="What a JSON reply must hold, as match.json; {arguments} stand for their values.",
        examples=[{"POWER": "{state}"}],
    )
    text: Annotated[tuple[str, ...], Field(strict=False, max_length=16), BeforeValidator(one_or_more)] = Field(
        (),
        description="What a reply that is no JSON must be, without the blanks around it, with {arguments}.",
        examples=["OK"],
    )
    pattern: Annotated[str, Field(max_length=512), AfterValidator(_check_regex)] | None = Field(
        None, description="A regular expression that must be found in the reply.", examples=["^OK"]
    )


class CommandSpec(Section):
    """Something the device can be told; one of publish, serial and modbus says how."""

    description: str = Field("", max_length=1000, description="What it does, for people.")
    publish: Annotated[PublishSpec, BeforeValidator(_topic_alone)] | None = Field(
        None,
        description="The message that tells it: a topic, or topic with qos, retain, and text or json.",
        examples=["site/a/boiler/{device}/set"],
    )
    serial: Annotated[SerialSpec, BeforeValidator(_text_alone)] | None = Field(
        None, description="What is written to the serial port: a text, or text or hex.", examples=["SET {limit}"]
    )
    modbus: Annotated[ModbusWrite, BeforeValidator(_register_alone)] | None = Field(
        None, description="The register that is written: a name, or register with value.", examples=["limit"]
    )
    payload: dict[FieldName, FieldSpec] = Field(
        default_factory=dict,
        max_length=64,
        description="Its arguments. map, scale and offset are done backwards: what stands for the value is sent.",
    )
    reply: ReplySpec | None = Field(
        None,
        description="What the device says once it has done it: the command is done then, and not when it is "
        "acknowledged or written.",
    )
    timeout: Annotated[float, Duration("100ms", "1h")] = Field(
        DEFAULT_TIMEOUT_S, description="How long the device may take to acknowledge, or to reply.", examples=["30s"]
    )
    max_age: Annotated[float, Duration("1s", "1d")] | None = Field(
        None,
        description="How old the command may be when the device gets it; a sender may ask for less. Default: what the "
        "sender says, else 60 s.",
        examples=["10s"],
    )

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics to which it is published."""
        return () if self.publish is None else (self.publish.topic,)
