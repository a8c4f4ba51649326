"""What stands between a condition and its actions: counts, sequences, rates, throttles."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import Number
from fieldgate_rules.model.values import Condition, Globs, Hold, Span, as_text

__all__ = ["CountSpec", "OncePer", "RateSpec", "SequenceSpec", "StepSpec", "ThrottleSpec"]

OncePer = Literal["hour", "day", "week", "month", "start"]


class CountSpec(Section):
    """So many within a time."""

    at_least: int = Field(ge=2, le=1000, description="How many events for which when is true.", examples=[3])
    within: Span = Field(description="Within how long.", examples=["10m"])


class RateSpec(Section):
    """How fast a number changes, from the oldest to the newest value within a time."""

    of: str = Field(description="The field.", examples=["temperature"])
    per: Span = Field(60.0, description="The unit of time of above and below.")
    within: Span = Field(
        description="Over how long it is measured; it is unknown before half of that.", examples=["10m"]
    )
    above: Number | None = Field(None, description="True where it rises faster than this.", examples=[2])
    below: Number | None = Field(
        None, description="True where it is less than this; negative for a fall.", examples=[-2]
    )

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        if self.above is None and self.below is None:
            raise ValueError("has no limit; write above or below")
        return self


class StepSpec(Section):
    """One step of a sequence."""

    when: Condition = Field(description="What must be true of an event.")
    device: Globs = Field((), description="Of which devices. Default: those of on.")


def _steps(written: object) -> object:
    if not isinstance(written, list | tuple):
        return written
    return tuple({"when": as_text(one)} if isinstance(one, str | bool) else one for one in written)


class SequenceSpec(Section):
    """One thing after the other."""

    within: Span = Field(description="How long it may take from the first to the last.", examples=["30s"])
    steps: Annotated[tuple[StepSpec, ...], Field(strict=False, min_length=2, max_length=8), BeforeValidator(_steps)] = (
        Field(description="Conditions, in order.", examples=[['door == "open"', "motion"]])
    )


class ThrottleSpec(Section):
    """How often it may fire at most."""

    times: int = Field(1, ge=1, le=1000, description="How often.")
    per: Hold = Field(description="In how long.", examples=["10m"])
