"""``vitals``: how the gateway is, told upstream as events."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fieldgate.config.section import LaneName
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section

__all__ = ["VitalsConfig"]


class VitalsConfig(Section):
    """How the gateway is, upstream."""

    every: Annotated[float, Duration("1s", "7d")] | None = Field(
        None,
        description="How often an event of type 'vitals' says how the gateway is: backlogs, journal, memory, what does "
        "not work. Without it none does: each is stored like any event while an uplink is away. "
        "'fieldgate contract jsonschema vitals' says what stands in it.",
        examples=["1m"],
    )
    lane: LaneName = Field("low", description="Priority of these events: 'low' is sent last and dropped first.")
