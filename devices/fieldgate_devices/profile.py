"""A device profile: the contract between a kind of device and everybody who reads what it says.

The models of one ``devices.d/*.yaml``. A key is declared here once; documentation, the editor's schema and error
messages come from it. What concerns more than one key is checked in `profile_checks`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from fieldgate_devices.command_model import CommandSpec
from fieldgate_devices.conditions import TEXT
from fieldgate_devices.event import OWN_TYPES
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.model_tree import ModelTree
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section
from fieldgate_devices.members import PART, read_members
from fieldgate_devices.modbus.spec import ModbusSpec
from fieldgate_devices.names import name_problem
from fieldgate_devices.profile_values import FieldName, Number, PathText, Plain, one_or_more
from fieldgate_devices.times import check_time_format, check_zone
from fieldgate_devices.topic_pattern import read_topic_pattern

__all__ = [
    "PROFILE_TREE",
    "Example",
    "MatchSpec",
    "Profile",
    "Scaling",
    "SplitSpec",
    "TimeSpec",
    "UpgradeSpec",
    "check_id",
]

_ID: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_MAX_TEXT: Final = 1 << 16


def check_id(name: str) -> str:
    """Return ``name`` if a profile may have it as its id."""
    if not _ID.fullmatch(name):
        raise ValueError(
            f"{name!r} is not an id of a profile; allowed: a to z, 0 to 9, '-' and '_', beginning with a letter"
        )
    if name in OWN_TYPES:
        raise ValueError(f"{name!r} is the type of events that the gateway itself makes; choose another id")
    if name == "none":
        raise ValueError("'none' is what commands call a device without a profile; choose another id")
    return name


def check_tag(text: str) -> str:
    """Return ``text`` if it may be the name of a tag."""
    if not _TAG.fullmatch(text):
        raise ValueError(
            f"{text!r} is no name of a tag; allowed: a to z, 0 to 9, '-', '_' and '.', beginning with a letter or digit"
        )
    return text


def _check_members(text: str) -> str:
    read_members(text)
    return text


def _check_repeated_name(name: str) -> str:
    problem = name_problem(PART.sub("x", name))
    if problem or not PART.search(name):
        raise ValueError(
            f"{name!r} is not the name of a repeated field; write a field name with a {{part}} that its path catches, "
            "such as {sensor}_temperature"
        )
    return name


def _check_pattern(text: str) -> str:
    read_topic_pattern(text)
    return text


def _named_decoder(written: object) -> object:
    return {written: None} if isinstance(written, str) else written


MembersText = Annotated[str, AfterValidator(_check_members)]
RepeatedName = Annotated[str, AfterValidator(_check_repeated_name)]
DecodeSpec = Annotated[dict[str, Any], Field(min_length=1, max_length=1), BeforeValidator(_named_decoder)]
DeviceText = Annotated[str, Field(min_length=1, max_length=1024)]


class MatchSpec(Section):
    """Which messages are this device's. All keys that are written must hold."""

    mqtt: Annotated[str, AfterValidator(_check_pattern)] | None = Field(
        None,
        description="Pattern of the topic: + is any level, {name} any level or part of one that is kept under that "
        "name, # or {name#} at the end the rest.",
        examples=["site/+/boiler/{device}/telemetry"],
    )
    except_: Annotated[
        tuple[Annotated[str, AfterValidator(_check_pattern)], ...],
        Field(strict=False, max_length=16),
        BeforeValidator(one_or_more),
    ] = Field(
        (),
        alias="except",
        description="Patterns of topics that are not this device's although mqtt takes them, such as its commands.",
        examples=[["zigbee2mqtt/+/set"]],
    )
    serial: str | None = Field(None, max_length=64, description="Name of a serial source.", examples=["scale"])
    json_: dict[PathText, Any] = Field(
        default_factory=dict,
        alias="json",
        max_length=16,
        description="What a JSON payload must hold: a path, and a value, a list of values, a text with * for anything, "
        "or {exists: true} or {exists: false}.",
        examples=[{"model": "Acurite-*", "id": {"exists": True}}],
    )
    text: Annotated[tuple[str, ...], Field(strict=False, max_length=16), BeforeValidator(one_or_more)] = Field(
        (),
        description="What a payload that is no JSON must be, without the blanks around it: a text, or one of several.",
        examples=[["online", "offline"]],
    )
    decode: DecodeSpec | None = Field(
        None, description="How bytes of these messages become values. Default: decode of the profile."
    )
    under: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Name under which these messages are put before the fields are looked for; {part} is what the "
        "pattern caught. For devices that send in one topic per component what another topic has as a whole.",
        examples=["{component}"],
    )
    device: DeviceText | None = Field(
        None, description="Name of the device for these messages. Default: device of the profile."
    )

    @property
    def conditions(self) -> dict[str, Any]:
        """What the payload must be, as `Conditions` takes it."""
        return {**self.json_, **({TEXT: list(self.text)} if self.text else {})}


Matches = Annotated[tuple[MatchSpec, ...], Field(strict=False, max_length=64), BeforeValidator(one_or_more)]


class TimeSpec(Section):
    """When it happened, where the device says so."""

    from_: PathText = Field(alias="from", description="Where the time stands in the message.", examples=["ts"])
    format: Annotated[str, AfterValidator(check_time_format)] = Field(
        "iso8601",
        description="iso8601, unix_s, unix_ms, unix_us, unix_ns, or a pattern of strptime such as '%d.%m.%Y %H:%M:%S'.",
    )
    zone: Annotated[str, AfterValidator(check_zone)] = Field(
        "UTC", description="Time zone of a time that names none.", examples=["Europe/Berlin"]
    )


class Scaling(Section):
    """How a number of an older version becomes one of the next."""

    scale: Number = Field(1.0, description="Factor.")
    offset: Number = Field(0.0, description="What is added after the factor.")


class SplitSpec(Section):
    """One text of an older version that became several values."""

    separator: str = Field(min_length=1, max_length=16, description="What stands between them.", examples=[","])
    into: Annotated[tuple[str, ...], Field(strict=False, min_length=1, max_length=32)] = Field(
        description="The members that the parts become, in order.", examples=[["temperature", "humidity"]]
    )


class UpgradeSpec(Section):
    """How a message of this older version becomes one of the next; done in the order of the keys here."""

    when: dict[PathText, Any] = Field(
        default_factory=dict,
        max_length=16,
        description="How a message of this version is known, as in match.json. Default: it fits no newer version.",
    )
    rename: dict[PathText, str] = Field(
        default_factory=dict, max_length=64, description="Old path: new name.", examples=[{"temp": "temperature"}]
    )
    split: dict[PathText, SplitSpec] = Field(default_factory=dict, max_length=16, description="Texts to take apart.")
    scale: dict[PathText, Scaling] = Field(default_factory=dict, max_length=64, description="Numbers to convert.")
    default: dict[str, Any] = Field(default_factory=dict, max_length=64, description="Members to add where they lack.")


class Example(Section):
    """A message and what it must become; run by ``fieldgate devices check`` and in tests."""

    topic: str | None = Field(None, max_length=1024, description="Topic it came on. Default: one that match takes.")
    in_: Any = Field(None, alias="in", description="The payload: a text as it is, anything else as JSON.")
    in_hex: str | None = Field(None, max_length=_MAX_TEXT, description="The payload in hexadecimal.")
    in_base64: str | None = Field(None, max_length=_MAX_TEXT, description="The payload in base64.")
    in_registers: dict[str, str] = Field(
        default_factory=dict,
        max_length=64,
        description="What stands in the registers of a Modbus device: a table and the first address, and words of "
        "four hexadecimal digits, or 0 and 1 for bits.",
        examples=[{"input 0": "4366 199A"}],
    )
    out: Any = Field(None, description="Fields that come of it; a list of such where it gives several events.")
    device: str | None = Field(None, max_length=1024, description="Name of the device.")
    at: str | None = Field(None, max_length=64, description="Time that the message gives, in RFC 3339.")
    error: str | None = Field(None, max_length=1024, description="A part of the reason for which it must be refused.")


class Profile(Section):
    """A kind of device: what its messages look like and what they mean."""

    profile: Annotated[str, AfterValidator(check_id)] = Field(
        description="Its id, also the type of its events. One of yours replaces a built-in one of the same id.",
        examples=["boiler"],
    )
    version: int = Field(
        1, ge=1, le=9999, description="Version of the contract; raise it when fields change their meaning."
    )
    description: str = Field("", max_length=4000, description="What device this is, for people.")
    match: Matches = Field(
        (),
        description="Which messages are this device's: one mapping, or a list of which one must hold. Without: those "
        "of sources that name this profile.",
    )
    device: DeviceText = Field(
        "{device}",
        description="Name of the device: text with {captures} of the topic and {paths} into the message, "
        "{this|or that}. "
        "Without one to be caught: the topic with '.' for '/'.",
        examples=["{model}-{id}"],
    )
    decode: DecodeSpec = Field(
        default_factory=lambda: {"json": None},
        description="How bytes become values: a decoder's name, or the name with its options below.",
        examples=["json"],
    )
    lenient: bool = Field(
        False, description="Whether numbers and truth values may be written as texts in the message ('21.5', 'true')."
    )
    lane: Literal["high", "normal", "low"] | None = Field(
        None, description="Priority of its events. Default: that of the listener or source."
    )
    tags: Annotated[
        tuple[Annotated[str, AfterValidator(check_tag)], ...],
        Field(strict=False, max_length=16),
        BeforeValidator(one_or_more),
    ] = Field(
        (),
        description="Names under which rules find all devices of this profile, with those of other profiles: "
        "on: {tag: …}.",
        examples=[["outdoor"]],
    )
    other_fields: Literal["drop", "keep", "refuse"] = Field(
        "drop",
        description="What becomes of members that no field names: left out, kept under flattened names, or the "
        "message is refused.",
    )
    others_from: Annotated[tuple[PathText, ...], Field(strict=False, max_length=8), BeforeValidator(one_or_more)] = (
        Field(
            (),
            description="With other_fields keep: the member whose members are kept, by names that begin there; of "
            "several paths the first that leads to one. Default: the whole message.",
            examples=["uplink_message.decoded_payload"],
        )
    )
    leave_out: Annotated[tuple[MembersText, ...], Field(strict=False, max_length=64)] = Field(
        (),
        description="Members that are left out whatever other_fields says: secrets and noise. A step may be * or hold "
        "a {part}.",
        examples=[["PASSKEY", "update", "{component}.aenergy.by_minute"]],
    )
    no_reading: Annotated[tuple[Plain, ...], Field(strict=False, max_length=64)] = Field(
        (),
        description="Raw values that mean that there is no reading, in whatever member they stand.",
        examples=[["N/A", "unavailable"]],
    )
    time: TimeSpec | None = Field(None, description="When it happened, where the device says so.")
    fields: dict[FieldName, FieldSpec] = Field(
        default_factory=dict,
        max_length=256,
        description="The fields of an event, by name.",
        examples=[{"temperature": {"type": "float", "unit": "°C"}}],
    )
    repeated: dict[RepeatedName, FieldSpec] = Field(
        default_factory=dict,
        max_length=64,
        description="Fields that come once per sensor, channel or component. from holds {parts}, of which the name is "
        "made; a member belongs to the first that takes it, and to none where one of fields takes it.",
        examples=[{"{sensor}_temperature": {"type": "float", "unit": "°C", "from": "{sensor}.Temperature"}}],
    )
    version_from: PathText | None = Field(None, description="Where a message says which version it is.")
    upgrade: dict[Annotated[int, Field(strict=False)], UpgradeSpec] = Field(
        default_factory=dict,
        max_length=32,
        description="For each older version: how its messages become the next one's.",
    )
    modbus: ModbusSpec | None = Field(
        None, description="The registers of a Modbus device; a message is what one poll has read of them, by name."
    )
    commands: dict[FieldName, CommandSpec] = Field(
        default_factory=dict, max_length=64, description="What the device can be told."
    )
    silent_after: Annotated[float, Duration("1s", "365d")] | None = Field(
        None,
        description="After how long without a message the device counts as silent, which is an event.",
        examples=["5m"],
    )
    examples: Annotated[tuple[Example, ...], Field(strict=False, max_length=256)] = Field(
        (), description="Messages and what they must become."
    )


PROFILE_TREE: Final = ModelTree(
    Profile,
    name="device profile",
    stand_ins={
        "profile": "stand-in",
        "match": ({"mqtt": "stand/in"},),
        "type": "string",
        "from": "stand_in",
        "separator": ",",
        "into": ("stand_in",),
        "topic": "stand/in",
        "mqtt": "stand/in",
        "registers": {"stand_in": 0},
    },
)
