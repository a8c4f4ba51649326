"""``tests``: what is given, and what must come of it, on a virtual clock."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section

__all__ = ["TestSpec"]


def _one_or_more(written: object) -> object:
    return (written,) if isinstance(written, dict) else written


Entries = Annotated[tuple[dict[str, Any], ...], Field(strict=False, max_length=2000), BeforeValidator(_one_or_more)]


class TestSpec(Section):
    """One test. What entries may hold is in the author's guide; it is checked where tests are run."""

    __test__ = False  # for pytest, which takes the name for one of its own

    name: str = Field(min_length=1, max_length=200, description="What it shows.", examples=["fires once after 30 s"])
    start: str = Field(
        "2026-01-01T00:00:00Z", description="The time at 0s, RFC 3339; or unset: nobody knows it.",
    )  # fmt: skip
    given: Entries = Field((), description="Events, recordings and what happens to the gateway, with their times.")
    until: Annotated[float, Duration("0s", "366d")] | None = Field(
        None, description="How long it goes on. Default: the last time that is named in it."
    )
    expect: Entries = Field((), description="What the rules of this file do, each with its time or without.")
    expect_none: bool | Entries = Field(
        False, description="true: nothing but what expect says; or what must not be among it."
    )
