"""``window``: figures over a time, made into events."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import FieldName
from fieldgate_rules.model.values import Condition, Hold, Span, as_text

__all__ = ["FUNCTIONS", "ValueSpec", "WindowSpec"]

FUNCTIONS = ("avg", "min", "max", "sum", "count", "first", "last", "stddev", "delta", "integral")

Of = Annotated[str, BeforeValidator(as_text), Field(min_length=1, max_length=1024)]


class ValueSpec(Section):
    """One figure of a window: a function and what it is taken of, an expression."""

    avg: Of | None = Field(None, description="The mean.", examples=["temperature"])
    min: Of | None = Field(None, description="The least.")
    max: Of | None = Field(None, description="The greatest.")
    sum: Of | None = Field(None, description="All together.")
    count: bool | Of | None = Field(
        None, description="How many events; with a condition: those for which it is true.", examples=[True]
    )
    first: Of | None = Field(None, description="The first.")
    last: Of | None = Field(None, description="The last.")
    stddev: Of | None = Field(None, description="The standard deviation of the population.")
    delta: Of | None = Field(None, description="The last minus the last of the window before (else the first).")
    integral: Of | None = Field(
        None, description="What a rate adds up to over time, such as energy from power; trapezoids.", examples=["power"]
    )
    per: Annotated[float, Duration("1s", "1d")] | None = Field(
        None, description="With integral: the unit of time of the rate. Default: 1s; 1h makes Wh of W."
    )
    max_gap: Hold | None = Field(
        None,
        description="With integral: over a longer break between two events nothing is added. Default: size.",
    )
    unit: str | None = Field(None, max_length=32, description="Its unit. Default: that of what it is taken of.")

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        written = [name for name in FUNCTIONS if getattr(self, name) is not None]
        if len(written) != 1:
            known = ", ".join(FUNCTIONS)
            raise ValueError(f"needs one function, not {len(written)}; allowed: {known}")
        for key in ("per", "max_gap"):
            if getattr(self, key) is not None and self.integral is None:
                raise ValueError(f"{key} belongs to integral")
        if self.count is False:
            raise ValueError("count: false counts nothing; write count: true")
        return self

    @cached_property
    def function(self) -> str:
        """The name of the function."""
        return next(name for name in FUNCTIONS if getattr(self, name) is not None)

    @property
    def of(self) -> str | None:
        """What it is taken of; None for a count of all events."""
        written: Any = getattr(self, self.function)
        return None if written is True else str(written)


class WindowSpec(Section):
    """Figures over a time, by group (``group_by`` of the rule). Each window that ends fires the rule."""

    size: Span = Field(description="How long a window is.", examples=["5m"])
    slide: Span | None = Field(
        None, description="After how long the next one begins; size is a multiple of it. Default: size (tumbling)."
    )
    values: dict[FieldName, ValueSpec] = Field(
        min_length=1, max_length=32, description="The figures, by the names that the event has for them.",
        examples=[{"mean": {"avg": "temperature"}, "n": {"count": True}}],
    )  # fmt: skip
    having: Condition | None = Field(
        None, description="A condition over the figures: a window for which it is not true does nothing."
    )
    time: Literal["received", "device"] = Field(
        "received", description="Whose time says to which window an event belongs: the gateway's or the device's own."
    )
    late: Annotated[float, Duration("0s", "1d")] = Field(
        0.0, description="With time: device: how long after its end a window waits for events; later ones are counted."
    )
    empty: bool = Field(False, description="Whether a window without an event makes one too (after the first).")

    @model_validator(mode="after")
    def _check_slide(self) -> Self:
        if self.slide is not None and (self.slide > self.size or abs(self.size / self.slide % 1) > 1e-9):
            raise ValueError("size is no multiple of slide")
        if self.slide is not None and self.size / self.slide > 120:
            raise ValueError("slide is too short; allowed: 120 in a window")
        if self.late and self.time == "received":
            raise ValueError("late belongs to time: device")
        return self
