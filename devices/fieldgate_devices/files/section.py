"""What every part of a file that people write is made of: a section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Section"]


class Section(BaseModel):
    """A mapping of the file: unknown keys are refused, values are not converted, nothing changes after loading."""

    ALSO_CALLED: ClassVar[Mapping[str, str]] = {}
    """Words that other programs have for a key: whoever writes one is told the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _take_an_empty_section(cls, written: object) -> object:
        """``journal:`` with every key commented out is the same as no ``journal:`` at all."""
        return {} if written is None else written
