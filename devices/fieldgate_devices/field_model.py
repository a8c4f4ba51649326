"""A field of a profile, or an argument of one of its commands: type, unit, limits, and where it stands."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import Number, PathText, Plain, one_or_more

__all__ = ["FieldSpec"]


class FieldSpec(Section):
    """One field of the events."""

    type: Literal["float", "int", "bool", "string", "enum", "object"] = Field(
        description="What it is. object is any JSON mapping or list, taken as it is.", examples=["float"]
    )
    unit: str = Field("", max_length=32, description="Unit of the value, as people write it.", examples=["°C"])
    description: str = Field("", max_length=1000, description="What it means, for people and for exported contracts.")
    min: Number | None = Field(None, description="Least value; below, the message breaks the contract.")
    max: Number | None = Field(None, description="Greatest value.")
    values: Annotated[tuple[Plain, ...], Field(strict=False, max_length=256)] = Field(
        (), description="What an enum may be.", examples=[["idle", "heating", "fault"]]
    )
    optional: bool = Field(False, description="Whether it may be missing (null counts as missing).")
    default: Any = Field(None, description="Its value where it is missing.")
    from_: Annotated[tuple[PathText, ...], Field(strict=False, max_length=8), BeforeValidator(one_or_more)] = Field(
        (),
        alias="from",
        description="Where it stands in the message: a path, or several of which the first that leads to a value "
        "counts. Default: the field's own name.",
        examples=["sensors.flow:0"],
    )
    map: dict[str, Plain] = Field(
        default_factory=dict,
        max_length=256,
        description="Values as the device writes them (as text), and what each stands for.",
        examples=[{"ON": True, "OFF": False}],
    )
    no_reading: Annotated[tuple[Plain, ...], Field(strict=False, max_length=64)] = Field(
        (),
        description="Raw values that mean that there is no reading: the field is absent then.",
        examples=[[-127, "N/A"]],
    )
    scale: Number | None = Field(None, description="Factor that makes the raw number the value.", examples=[0.1])
    offset: Number | None = Field(None, description="What is added after scale.")
    raw_unit: Annotated[str, Field(max_length=32)] | dict[PathText, str] | None = Field(
        None,
        description="Unit in which the device writes it, where that is not unit: it is converted. One for all, or by "
        "path of from.",
        examples=["°F", {"temperature_F": "°F"}],
    )
    unit_from: PathText | None = Field(
        None,
        description="Where the message says in which unit it is ('F', 'inHg'). What is not known there counts as "
        "raw_unit, or as unit.",
        examples=["TempUnit"],
    )
    unfit: Literal["refuse", "absent", "other"] = Field(
        "refuse",
        description="What becomes of a value of another type, or out of range: the message breaks the contract; or the "
        "field is absent (the next path of from counts) and only a list or mapping is left to other_fields; or the "
        "value is left to other_fields whatever it is.",
    )
    absent_if: dict[PathText, Any] = Field(
        default_factory=dict,
        max_length=8,
        description="Where one of these holds, the field is absent whatever stands there; written as match.json.",
        examples=[{"status": "V"}],
    )
    first_of: Annotated[tuple[str, ...], Field(strict=False, max_length=8), BeforeValidator(one_or_more)] = Field(
        (),
        description="Names of repeated fields: this field is the first of them that the message has.",
        examples=["{sensor}_temperature"],
    )
