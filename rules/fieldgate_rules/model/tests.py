"""``tests``: what is given, and what must come of it, on a virtual clock. What of it fits the rules is checked by
`fieldgate_rules.tester`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from fieldgate_devices.files.quantities import Duration, parse_duration
from fieldgate_devices.files.section import Section
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.recording import read_rfc3339
from fieldgate_rules.model.actions import Lane
from fieldgate_rules.model.triggers import GatewayKind
from fieldgate_rules.model.values import Words, as_text

__all__ = [
    "EXPECTED", "GIVEN", "ClockSpec", "ExpectSpec", "ExpectedCommand", "GivenSpec", "Moment", "RestartSpec", "TestSpec",
]  # fmt: skip

GIVEN: Final = ("device", "topic", "recording", "gateway", "restart", "clock")
EXPECTED: Final = ("alert", "resolved", "command", "publish", "emit", "log", "drop", "lane", "route", "set")
_PAYLOADS: Final = ("payload", "json", "hex", "base64")
_BELONGS: Final = {
    "text": ("alert", "log"),
    "key": ("alert",),
    "fields": ("alert", "emit"),
    "payload": ("publish",),
}


def _check_start(text: str) -> str:
    if text != "unset":
        read_rfc3339(text)
    return text


def _check_set(text: str) -> str:
    if text != "right":
        read_rfc3339(text)
    return text


def _signed_duration(written: object) -> float:
    text = written if isinstance(written, str) else ""
    try:
        return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text.removeprefix("+"))
    except ValueError:
        raise ValueError(f"{written!r} is not a duration; write one such as 1h, or -90s for back") from None


def _one_or_more(written: object) -> object:
    return (written,) if isinstance(written, dict) else written


Moment = Annotated[float, Duration("0s", "366d")]
"""Seconds since the test began."""
Start = Annotated[str, AfterValidator(_check_start)]


class RestartSpec(Section):
    """The gateway stops, and starts again."""

    after: Moment = Field(0.0, description="How long it is down.", examples=["30s"])
    boot: Literal["same", "other"] = Field("same", description="other: the machine was started anew, too.")
    time: Literal["known", "unknown"] | None = Field(
        None, description="Whether it knows the time when it starts. Default: as before."
    )
    kill: bool = Field(False, description="It dies as by kill -9: what was not yet saved is lost.")


class ClockSpec(Section):
    """What becomes of the gateway's clock."""

    step: Annotated[float, BeforeValidator(_signed_duration)] | None = Field(
        None, description="It jumps by so much; -90s is back.", examples=["1h"]
    )
    set: Annotated[str, AfterValidator(_check_set)] | None = Field(
        None, description="The time becomes known: RFC 3339, or right, as if it had been known from the start."
    )
    unset: Literal[True] | None = Field(None, description="Nobody knows the time any more.")

    @model_validator(mode="before")
    @classmethod
    def _take_words(cls, written: object) -> object:
        """``clock: set`` and ``clock: unset``."""
        words = {"set": {"set": "right"}, "unset": {"unset": True}}
        if isinstance(written, str) and written not in words:
            hint = did_you_mean(written, words)
            raise ValueError(f"{written!r} is not known; write one of: set, unset, {{set: TIME}}, {{step: 1h}}{hint}")
        return words[written] if isinstance(written, str) else written

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if [self.step, self.set, self.unset].count(None) != 2:
            raise ValueError("write one of: set, unset, {set: TIME}, {step: 1h}")
        return self


def _nothing_is_all(written: object) -> object:
    return {} if written is None or written is True else written


class GivenSpec(Section):
    """Something that happens. Of an event every other key is one of its fields."""

    model_config = ConfigDict(extra="allow")

    at: Moment = Field(0.0, description="When, since the test began.", examples=["30s"])
    device: Words = Field((), description="An event of this device, or of each of these.", examples=["boiler-1"])
    profile: str | None = Field(
        None, description="Its profile, or the type that a rule emits. Default: the one that the rules are on."
    )
    fields: dict[str, Any] = Field(
        default_factory=dict, description="Its fields, where a name is a key of this list, too."
    )
    topic: str | None = Field(
        None, min_length=1, description="A message on this topic, read by the profiles.", examples=["site/a/boiler/b1"]
    )
    payload: str | None = Field(None, description="Its payload, as a text.")
    json_: Any = Field(None, alias="json", description="Its payload, as JSON.")
    hex: Annotated[str, BeforeValidator(as_text)] | None = Field(None, description="Its payload, in hexadecimal.")
    base64: str | None = Field(None, description="Its payload, in base64.")
    recording: str | None = Field(
        None, min_length=1, description="All messages of a recording (RECORDINGS.md), beside this file."
    )
    gateway: GatewayKind | None = Field(None, description="Something happens to the gateway; its fields as keys.")
    restart: Annotated[RestartSpec | None, BeforeValidator(_nothing_is_all)] = Field(
        None, description="The gateway stops, and starts again."
    )
    clock: ClockSpec | None = Field(
        None, description="The clock: set, unset, {set: TIME}, {step: 1h}.", examples=["unset"]
    )
    every: Annotated[float, Duration("1ms", "366d")] | None = Field(
        None, description="It happens again and again, after so long.", examples=["10s"]
    )
    times: int | None = Field(None, ge=1, le=10_000_000, description="With every: how often in all.")
    until: Moment | None = Field(None, description="With every: not after this.")
    lane: Lane | None = Field(None, description="Priority of the events. Default: that of the profile, or normal.")
    late: Moment | None = Field(None, description="The device says that it happened so long before it came.")
    replayed: bool = Field(False, description="They were dead letters, and are sent through again.")

    @property
    def others(self) -> dict[str, Any]:
        """The keys that are none of these: fields of the event."""
        return self.model_extra or {}

    @property
    def kind(self) -> str:
        """Which of `GIVEN` it is."""
        return next(name for name in reversed(GIVEN) if getattr(self, name))

    @model_validator(mode="after")
    def _check_one_kind(self) -> Self:
        written = [name for name in GIVEN if name in self.model_fields_set]
        if not written:
            guess = next((hint for name in self.others if (hint := did_you_mean(name, GIVEN))), "")
            raise ValueError(f"it says nothing that happens; write one of {', '.join(GIVEN)}{guess}")
        if len(written) > 1 and written != ["device", "gateway"]:
            raise ValueError(f"{' and '.join(written)} do not go together; write an entry for each")
        payloads = [name for name in _PAYLOADS if name.replace("json", "json_") in self.model_fields_set]
        if (self.topic is None) != (not payloads) or len(payloads) > 1:
            raise ValueError(f"a message has a topic and one of {', '.join(_PAYLOADS)}")
        if self.every is None and (self.times is not None or self.until is not None):
            raise ValueError("times and until belong to every")
        if self.every is not None and self.times is None and self.until is None:
            raise ValueError("every needs times or until")
        if self.until is not None and self.until < self.at:
            raise ValueError("until is before at")
        if self.every is not None and self.kind in ("restart", "clock", "recording"):
            raise ValueError(f"{self.kind} happens once; leave out every")
        return self


class ExpectedCommand(Section):
    """A command: ``{device: pump-1, switch: {on: true}}``, or only its name."""

    device: str | None = Field(None, description="Which device.", examples=["pump-1"])
    name: str = Field(description="Which of its commands.", examples=["switch"])
    arguments: dict[str, Any] | None = Field(None, description="Its arguments. Default: whatever they are.")

    @model_validator(mode="before")
    @classmethod
    def _take_the_short_forms(cls, written: object) -> object:
        if isinstance(written, str):
            return {"name": written}
        if not isinstance(written, dict) or "name" in written:
            return written
        names = [key for key in written if key not in ("device", "arguments")]
        if len(names) != 1 or "arguments" in written:
            return written
        return {**{key: written[key] for key in written if key == "device"}, "name": names[0],
                "arguments": written[names[0]]}  # fmt: skip


class ExpectSpec(Section):
    """One thing that a rule does. What is not written may be anything."""

    at: Moment | None = Field(None, description="When, to the millisecond.", examples=["30s"])
    between: Annotated[tuple[Moment, ...], Field(strict=False)] | None = Field(
        None, description="When: from the first to the second.", examples=[["30s", "31s"]]
    )
    rule: str | None = Field(None, description="Which rule.", examples=["boiler-overheat"])
    device: str | None = Field(None, description="For which device, or what the rule groups by.")
    alert: Literal["info", "warning", "critical"] | None = Field(None, description="It raises an alert so bad.")
    resolved: Literal[True] | None = Field(None, description="It ends an alert.")
    updated: Literal[True] | None = Field(None, description="With alert: it has been raised before, and says more now.")
    command: ExpectedCommand | None = Field(None, description="It tells a device something.")
    publish: str | None = Field(None, description="It publishes on this topic.")
    emit: str | None = Field(None, description="It makes an event of this type.")
    log: Literal["debug", "info", "warning", "error"] | None = Field(None, description="It logs, at this level.")
    drop: Literal[True] | None = Field(None, description="The event goes nowhere (drop and sample).")
    lane: Lane | None = Field(None, description="The event gets this priority.")
    route: Words | None = Field(None, description="The event goes to these uplinks only.")
    set: dict[str, Any] | None = Field(None, description="The event gets these fields (set and enrich).")
    text: str | None = Field(None, description="What an alert or a line of the log says.")
    key: str | None = Field(None, description="Which alert of the rule.")
    fields: dict[str, Any] | None = Field(None, description="Fields of an alert or event; others may be there, too.")
    payload: Any = Field(None, description="What is published: a text, or what the JSON holds, among other members.")
    count: int | None = Field(None, ge=1, le=1_000_000, description="So many of these, and no more.")

    @property
    def kind(self) -> str | None:
        """Which of `EXPECTED` it is; None: anything that the rule does. An alert that ends is of kind alert."""
        found = next((name for name in EXPECTED if getattr(self, name) is not None), None)
        return "alert" if found == "resolved" else found

    @model_validator(mode="after")
    def _check_one_kind(self) -> Self:
        written = [name for name in EXPECTED if getattr(self, name) is not None]
        if len(written) > 1 and written != ["alert", "resolved"]:
            raise ValueError(f"{' and '.join(written)} do not go together; write an entry for each")
        if not written and self.rule is None:
            raise ValueError(f"it says nothing; write rule, or one of {', '.join(EXPECTED)}")
        for name, kinds in _BELONGS.items():
            if name in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{name} belongs to {' and '.join(kinds)}")
        if self.updated and (self.alert is None or self.resolved):
            raise ValueError("updated belongs to alert")
        if self.at is not None and self.between is not None:
            raise ValueError("at and between do not go together")
        if self.between is not None and (len(self.between) != 2 or self.between[0] > self.between[1]):
            raise ValueError("between is two times, the earlier one first: [30s, 31s]")
        return self


def _none_at_all(schema: dict[str, Any]) -> None:
    """In the file ``expect_none: true`` stands for ``nothing_else: true``."""
    tuples = {key: schema.pop(key) for key in ("type", "items", "maxItems", "minItems") if key in schema}
    schema["anyOf"] = [{"const": True}, *([tuples] if tuples else schema.get("anyOf", []))]


Expectations = Annotated[
    tuple[ExpectSpec, ...], Field(strict=False, max_length=2000), BeforeValidator(_one_or_more)
]  # fmt: skip


class TestSpec(Section):
    """One test of the rules of this file."""

    __test__ = False  # for pytest, which takes the name for one of its own

    name: str = Field(min_length=1, max_length=200, description="What it shows.", examples=["fires once after 30 s"])
    start: Start = Field(
        "2026-01-01T00:00:00Z", description="The time when it begins, RFC 3339; or unset: nobody knows it."
    )
    given: Annotated[tuple[GivenSpec, ...], Field(strict=False, max_length=2000), BeforeValidator(_one_or_more)] = (
        Field((), description="Events, recordings and what happens to the gateway, with their times.")
    )
    until: Moment | None = Field(None, description="How long it goes on. Default: the last time that is named in it.")
    expect: Expectations = Field((), description="What the rules of this file do, each with its time or without.")
    expect_none: Expectations = Field(
        (), description="true: nothing but what expect says; or what must not come.", json_schema_extra=_none_at_all
    )
    nothing_else: bool = Field(False, description="The same as expect_none: true, where that is a list.")

    @model_validator(mode="before")
    @classmethod
    def _take_a_word(cls, written: object) -> object:
        """``expect_none: true``."""
        if isinstance(written, dict) and isinstance(written.get("expect_none"), bool):
            rest = {key: one for key, one in written.items() if key != "expect_none"}
            return {**rest, "nothing_else": True} if written["expect_none"] else rest
        return written

    @model_validator(mode="after")
    def _check_what_is_shown(self) -> Self:
        if not self.expect and not self.expect_none and not self.nothing_else:
            raise ValueError("it expects nothing; write expect, or expect_none: true")
        return self
