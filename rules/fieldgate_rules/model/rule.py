"""A rule, as the file has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import FieldName, Number, Plain, one_or_more
from fieldgate_rules.model.actions import ActionSpec
from fieldgate_rules.model.stages import CountSpec, OncePer, RateSpec, SequenceSpec, ThrottleSpec
from fieldgate_rules.model.triggers import TriggerSpec
from fieldgate_rules.model.values import Condition, Hold, RuleId, Words, Zone
from fieldgate_rules.model.windows import WindowSpec

__all__ = ["Body", "RuleSpec"]


def _throttle(written: object) -> object:
    return {"per": written} if isinstance(written, str) else written


_ELSEWHERE: Final = {
    "action": "do", "actions": "do", "then": "do", "trigger": "on", "triggers": "on", "condition": "when",
    "conditions": "when", "expr": "when", "if": "when",
}  # fmt: skip
"""What Home Assistant, Prometheus and others call it."""


class Body(Section):
    """What a rule and a template have in common."""

    ALSO_CALLED: ClassVar[Mapping[str, str]] = _ELSEWHERE

    description: str = Field("", max_length=4000, description="What it is for, for people.")
    on: Annotated[tuple[TriggerSpec, ...], Field(strict=False, max_length=32), BeforeValidator(one_or_more)] = Field(
        (), description="What it is asked about: one mapping, or a list of which one must hold.",
        examples=[{"profile": "boiler"}],
    )  # fmt: skip
    group_by: str = Field(
        "device", min_length=1, max_length=64,
        description="For whom it remembers apart: device, all (one for all devices), or the name of a field.",
    )  # fmt: skip
    when: Condition | None = Field(None, description="The condition; see LANGUAGE.md.", examples=["temperature > 80"])
    changed: Words = Field((), description="Only events in which one of these fields is another than before.")
    by: Number | None = Field(
        None, gt=0, description="With changed: only if it differs by so much from the last one that counted (deadband)."
    )
    rate: RateSpec | None = Field(None, description="How fast a field changes.")
    count: CountSpec | None = Field(None, description="So many events for which when is true, within a time.")
    sequence: SequenceSpec | None = Field(None, description="One thing after the other, within a time.")
    absent: Hold | None = Field(None, description="No event for which when is true for so long.", examples=["5m"])
    for_: Annotated[float, Duration("0s", "365d")] | None = Field(
        None,
        alias="for",
        description="It fires once it has held for so long without a break; 0s is at once.",
        examples=["30s"],
    )
    until: Condition | None = Field(
        None, description="Once it has fired it holds until this is true (hysteresis). Default: until it is false."
    )
    fires: Literal["once", "each"] | None = Field(
        None,
        description="once: when it begins to hold, and again only after it has not; each: at each event for which it "
        "holds. Default: once, but each where there is no condition, with changed, count and sequence.",
    )
    throttle: Annotated[ThrottleSpec, BeforeValidator(_throttle)] | None = Field(
        None, description="How often it may fire at most: a duration, or times and per.", examples=["10m"]
    )
    once_per: OncePer | None = Field(
        None,
        description="It fires once in each hour, day, week or month of its time zone, or once a start of the gateway.",
    )
    window: WindowSpec | None = Field(None, description="Figures over a time.")
    max_age: Annotated[float, Duration("1s", "1d")] = Field(
        60.0, description="command and local publish are not done for an event that is older than this."
    )
    on_replay: bool = Field(
        False, description="Whether command and local publish are done for events that are replayed, too."
    )
    on_restart: Literal["continue", "reset"] = Field(
        "continue", description="What becomes of its timers and windows when the gateway was stopped."
    )
    zone: Zone = Field("UTC", description="Time zone of hour(), weekday(), between(), cron and once_per.")
    do: Annotated[tuple[ActionSpec, ...], Field(strict=False, max_length=32), BeforeValidator(one_or_more)] = Field(
        (), description="What it does: one action, or a list.",
        examples=[[{"alert": {"severity": "critical", "text": "{device} is at {temperature} °C"}}]],
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        source = [key for key in ("count", "sequence", "absent", "window", "rate") if getattr(self, key) is not None]
        if len(source) > 1:
            raise ValueError(f"{' and '.join(source)} do not go together; write a rule for each")
        if self.by is not None and len(self.changed) != 1:
            raise ValueError("by needs changed with one field")
        if self.sequence is not None and self.when is not None:
            raise ValueError("sequence has the conditions in its steps; leave when out")
        if self.window is not None and (self.for_ is not None or self.until is not None):
            raise ValueError("a window has no for and until; put a rule on what it emits")
        if self.fires == "each" and (self.for_ is not None or self.absent is not None):
            raise ValueError("fires: each does not go with for and absent")
        return self


class RuleSpec(Body):
    """What is done about which events."""

    ALSO_CALLED: ClassVar[Mapping[str, str]] = {**_ELSEWHERE, "alias": "id", "name": "id"}

    id: RuleId = Field(description="Its id, one of its kind in all files.", examples=["boiler-overheat"])
    enabled: bool = Field(True, description="false: it is read and checked, and does nothing.")
    mode: Literal["active", "shadow"] = Field(
        "active", description="shadow: it records what it would do ('fieldgate rules explain'), and does nothing."
    )
    parameters: dict[FieldName, Plain] = Field(
        default_factory=dict, max_length=32, description="Names for values, in conditions and texts.",
        examples=[{"limit": 80}],
    )  # fmt: skip
    use: RuleId | None = Field(
        None, description="A template: everything it says, and what is written here instead.", examples=["overheat"]
    )
    with_: dict[FieldName, Any] = Field(
        default_factory=dict, alias="with", max_length=32, description="The template's parameters.",
        examples=[{"limit": 80}],
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.with_ and self.use is None:
            raise ValueError("with belongs to use")
        if self.use is None and not self.on:
            raise ValueError("has no 'on'; write what it is asked about, such as on: {profile: boiler}")
        if self.use is None and not self.do and self.window is None:
            raise ValueError("has no 'do'; write what it does, such as do: [{log: \"{device}\"}]")
        return self
