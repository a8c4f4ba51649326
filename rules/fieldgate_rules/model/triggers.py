"""``on``: what a rule is asked about."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section
from fieldgate_devices.profile_values import one_or_more
from fieldgate_rules.model.values import Globs, Words, Zone

__all__ = ["GATEWAY_KINDS", "GatewayKind", "TriggerSpec"]

GatewayKind = Literal[
    "uplink_down", "uplink_up", "buffer_above", "buffer_below", "silent", "back", "started", "time_known",
    "rules_refused",
]  # fmt: skip
GATEWAY_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "uplink_down": ("uplink", "reason"),
    "uplink_up": ("uplink",),
    "buffer_above": ("percent",),
    "buffer_below": ("percent",),
    "silent": ("profile", "for_s"),
    "back": ("profile", "for_s"),
    "started": (),
    "time_known": ("offset_s",),
    "rules_refused": ("problem",),
}
"""The gateway's own events, and the fields that a rule may look at, besides ``kind``: which of them it is.

The device of ``silent`` and ``back`` is that device, of the others the gateway.
"""

_OF_EVENTS: Final = ("device", "profile", "tag", "lane")


class TriggerSpec(Section):
    """What a rule is asked about. Of devices everything that is written must hold."""

    device: Globs = Field((), description="Names of devices; * is any text, ? any character.", examples=["boiler-*"])
    profile: Words = Field(
        (), description="Profiles of devices, or types that rules emit; generic: devices without a profile.",
        examples=["boiler"],
    )  # fmt: skip
    tag: Words = Field((), description="Tags of devices, from tags of this folder's files or of profiles.")
    lane: Annotated[tuple[Literal["high", "normal", "low"], ...], Field(strict=False), BeforeValidator(one_or_more)] = (
        Field((), description="Priorities of events.")
    )
    rule: Words = Field(
        (), description="Ids of other rules: asked when one of them fires. Its fields are rule, firing and severity."
    )
    gateway: Annotated[tuple[GatewayKind, ...], Field(strict=False), BeforeValidator(one_or_more)] = Field(
        (), description="What happens to the gateway itself.", examples=["uplink_down"]
    )
    above: int | None = Field(
        None, ge=1, le=99, description="With gateway buffer_above or buffer_below: percent of the journal. Default: 80."
    )
    every: Annotated[float, Duration("1s", "31d")] | None = Field(
        None, description="Asked again and again after so long.", examples=["5m"]
    )
    cron: str | None = Field(
        None, max_length=128, description="Asked at these times: minute, hour, day, month, weekday.",
        examples=["0 6 * * mon-fri"],
    )  # fmt: skip
    zone: Zone | None = Field(None, description="Time zone of cron. Default: zone of the rule.")

    @model_validator(mode="before")
    @classmethod
    def _say_what_a_name_lacks(cls, written: object) -> object:
        if isinstance(written, str):
            raise ValueError(f"{written!r} may be a device or a profile; write {{device: …}} or {{profile: …}}")
        return written

    @model_validator(mode="after")
    def _check_one_kind(self) -> Self:
        events = [key for key in _OF_EVENTS if getattr(self, key)]
        others = [key for key in ("rule", "gateway", "every", "cron") if getattr(self, key)]
        if not events and not others:
            raise ValueError("says nothing; write device, profile, tag, lane, rule, gateway, every or cron")
        if len(others) > 1 or (others and events and others != ["gateway"]):
            both = " and ".join((*events, *others))
            raise ValueError(f"{both} do not go together; write a list with an entry for each")
        if self.above is not None and not any("buffer" in kind for kind in self.gateway):
            raise ValueError("above belongs to gateway: buffer_above")
        if self.zone is not None and self.cron is None:
            raise ValueError("zone belongs to cron")
        return self
