"""What a device can be told: the commands of its profile."""

from __future__ import annotations

from pydantic import Field

from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import FieldName

__all__ = ["CommandSpec"]


class CommandSpec(Section):
    """Something the device can be told."""

    publish: str = Field(
        max_length=1024,
        description="Topic, with captures of match. What clients of the gateway publish there is no event.",
        examples=["site/a/boiler/{device}/set"],
    )
    payload: dict[FieldName, FieldSpec] = Field(
        default_factory=dict, max_length=64, description="Members of the JSON payload."
    )
