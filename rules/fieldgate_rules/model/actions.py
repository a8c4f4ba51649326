"""``do``: what a rule does. Each entry has one key that says what, and what belongs to it.

``alert``, ``command``, ``publish``, ``emit`` and ``log`` are done when the rule fires; ``set``, ``drop``, ``lane``,
``route`` and ``sample`` are about the event itself, each one for which the rule holds.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import FieldName, Number
from fieldgate_rules.action_kinds import ACTIONS, OF_EVENTS
from fieldgate_rules.model.values import Condition, Hold, TextTemplate, Words, type_problem

__all__ = [
    "ACTIONS", "OF_EVENTS", "ActionSpec", "AlertSpec", "CommandSpec", "EmitSpec", "LogSpec", "PublishSpec",
    "SampleSpec",
]  # fmt: skip

Lane = Literal["high", "normal", "low"]
Leaf = Any
"""A value, or a text with expressions in braces; one that is one expression and nothing else has that one's kind."""


class AlertSpec(Section):
    """Something that a person should know of. It lasts until the rule does not hold any more."""

    @model_validator(mode="before")
    @classmethod
    def _say_where_a_text_belongs(cls, written: object) -> object:
        if isinstance(written, str):
            raise ValueError(f"{written!r} stands alone; write {{text: …}}")
        return written

    severity: Literal["info", "warning", "critical"] = Field("warning", description="How bad it is.")
    text: TextTemplate = Field(
        description="What is said.", min_length=1, examples=["{device} is at {temperature:.1f} °C"]
    )
    resolved: TextTemplate | None = Field(
        None, min_length=1, description="What is said when it ends. Default: the text that was said last.",
        examples=["{device} is back at {temperature:.1f} °C"],
    )  # fmt: skip
    key: TextTemplate = Field(
        "{device}", description="What makes it one and the same alert of this rule: raised again it is only updated."
    )
    resolve: bool = Field(
        True,
        description="Whether it ends by itself when the rule does not hold any more; else 'fieldgate rules resolve'.",
    )
    fields: dict[FieldName, Leaf] = Field(
        default_factory=dict, max_length=32, description="Values that go with it.", examples=[{"limit": "{limit}"}]
    )
    notify: Words = Field((), description="Names of uplinks of kind webhook that are told.", examples=["pager"])


class CommandSpec(Section):
    """Tell a device something: ``device``, the name of one of its commands, and the arguments."""

    device: TextTemplate = Field(description="Which device.", examples=["pump-1"])
    name: str = Field(description="Which of its commands.", examples=["switch"])
    arguments: dict[str, Leaf] = Field(default_factory=dict, description="The command's arguments.")

    @model_validator(mode="before")
    @classmethod
    def _take_the_short_form(cls, written: object) -> object:
        """``{device: pump-1, switch: {on: true}}``."""
        if not isinstance(written, dict) or "name" in written:
            return written
        names = [key for key in written if key not in ("device", "arguments")]
        if len(names) != 1 or "arguments" in written:
            return written
        arguments = written[names[0]]
        return {
            **({"device": written["device"]} if "device" in written else {}),
            "name": names[0],
            "arguments": {} if arguments is None else arguments,
        }


class PublishSpec(Section):
    """A message to the clients of the gateway's own listeners, or upstream."""

    topic: TextTemplate = Field(min_length=1, description="The topic.", examples=["house/alarm/{device}"])
    payload: Leaf = Field(
        "", description="The payload: a text with expressions, or a mapping or list, which is sent as JSON."
    )
    qos: Literal[0, 1, 2] = Field(0, description="QoS of the message.")
    retain: bool = Field(False, description="Whether the broker keeps it for those who subscribe later.")
    to: str = Field(
        "local",
        description="local: clients of the listeners, at once; else the name of an uplink, safe as an event is.",
    )


def _check_type(text: str) -> str:
    if problem := type_problem(text):
        raise ValueError(problem)
    return text


class EmitSpec(Section):
    """A new event, with a contract of its own; other rules may be on its type."""

    type: Annotated[str, AfterValidator(_check_type)] | None = Field(
        None, description="Its type. Default: the rule's id.", examples=["boiler_heat"]
    )
    device: TextTemplate = Field("{device}", description="The device that it is about.")
    fields: dict[FieldName, Leaf] = Field(
        default_factory=dict, max_length=64, description="Its fields. Of a window: beside the figures.",
        examples=[{"excess": "{temperature - limit}"}],
    )  # fmt: skip
    lane: Lane | None = Field(None, description="Its priority. Default: that of the event it comes of.")
    version: int = Field(1, ge=1, le=9999, description="Version of its contract.")


class SampleSpec(Section):
    """Let few through and drop the others."""

    one_in: int | None = Field(None, ge=2, le=1_000_000, description="Every so manieth event of a device.")
    per: Hold | None = Field(
        None,
        description="One event of a device in so long; with changed: one at least, whether it has changed or not.",
        examples=["10s"],
    )
    changed: Words = Field(
        (), description="Only events in which one of these fields is another than in the last that was let through."
    )
    by: Number | None = Field(
        None, gt=0, description="With changed: only if it differs by so much from the last that was let through."
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.one_in is not None and (self.per is not None or self.changed):
            raise ValueError("one_in stands alone; leave per and changed out")
        if self.one_in is None and self.per is None and not self.changed:
            raise ValueError("needs one of one_in, per and changed")
        if self.by is not None and len(self.changed) != 1:
            raise ValueError("by needs changed with one field")
        return self


class LogSpec(Section):
    """A line in the gateway's log."""

    text: TextTemplate = Field(min_length=1, description="What is said.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Its level.")


def _text_or_log(written: object) -> object:
    return {"text": written} if isinstance(written, str) else written


class ActionSpec(Section):
    """One thing that a rule does."""

    alert: AlertSpec | None = Field(None, description="Raise an alert.")
    command: CommandSpec | None = Field(None, description="Tell a device something.")
    publish: PublishSpec | None = Field(None, description="Publish a message.")
    emit: EmitSpec | None = Field(None, description="Make an event.")
    log: Annotated[LogSpec, BeforeValidator(_text_or_log)] | None = Field(None, description="Write a line to the log.")
    set: dict[FieldName, Leaf] | None = Field(
        None, min_length=1, max_length=64, description="Give the event fields, or other values for those it has.",
        examples=[{"temperature_f": "{convert(temperature, \"°F\")}"}],
    )  # fmt: skip
    enrich: dict[FieldName, Leaf] | None = Field(
        None, min_length=1, max_length=64, description="As set, but only fields that the event does not have."
    )
    drop: Literal[True] | None = Field(None, description="The event goes nowhere.")
    lane: Lane | None = Field(None, description="The event's priority.")
    route: Words | None = Field(
        None,
        min_length=1,
        description="Names of the uplinks that the event goes to, and to no other.",
        examples=[["cloud"]],
    )
    sample: SampleSpec | None = Field(None, description="Let few events through and drop the others.")
    if_: Condition | None = Field(
        None, alias="if", description="Done only if this is true, besides the rule's own condition."
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        written = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(written) != 1:
            said = " and ".join(written) or "nothing"
            raise ValueError(f"an entry of do is one action, not {said}; allowed: {', '.join(ACTIONS)}")
        return self

    @cached_property
    def kind(self) -> str:
        """The name of the action."""
        return next(name for name in ACTIONS if getattr(self, name) is not None)
