"""What stands in a profile in more than one place: paths, names of fields, plain values."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from fieldgate_devices.names import name_problem
from fieldgate_devices.paths import read_path

__all__ = ["FieldName", "Number", "PathText", "Plain", "one_or_more"]


def _check_field_name(name: str) -> str:
    problem = name_problem(name)
    if problem:
        raise ValueError(problem)
    return name


def _check_path(text: str) -> str:
    read_path(text)
    return text


def one_or_more(written: object) -> object:
    """Let one stand where a list may."""
    return (written,) if isinstance(written, dict | str) else written


PathText = Annotated[str, AfterValidator(_check_path)]
FieldName = Annotated[str, AfterValidator(_check_field_name)]
Number = Annotated[float, Field(strict=False, allow_inf_nan=False)]
Plain = str | int | float | bool | None
