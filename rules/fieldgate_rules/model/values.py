"""What stands in a file of rules in more than one place: ids, globs, durations, conditions, texts."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from fieldgate_devices.event import OWN_TYPES
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.profile_values import one_or_more

__all__ = [
    "Condition",
    "Globs",
    "Hold",
    "RuleId",
    "Severity",
    "Span",
    "TextTemplate",
    "Words",
    "Zone",
    "as_text",
    "type_problem",
]

_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def _check_id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise ValueError(
            f"{text!r} is no id; allowed: a to z, 0 to 9, '-', '_' and '.', beginning with a letter or digit, "
            "64 characters at most"
        )
    return text


def type_problem(text: str) -> str:
    """Say why events that a rule makes cannot be of this type; empty if they can."""
    if not _TYPE.fullmatch(text):
        return f"{text!r} is no type of events; allowed: a to z, 0 to 9, '-' and '_', beginning with a letter"
    if text in OWN_TYPES:
        return f"{text!r} is the type of events that the gateway itself makes; choose another one"
    return ""


def _check_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{text!r} is no time zone; write one such as Europe/Berlin or UTC") from None
    return text


def as_text(written: object) -> object:
    """Let ``when: true`` and ``text: 5`` be the texts that they look like."""
    if isinstance(written, bool):
        return str(written).lower()
    return str(written) if isinstance(written, int | float) else written


RuleId = Annotated[str, AfterValidator(_check_id)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Span = Annotated[float, Duration("1s", "365d")]
"""Seconds over which something is looked at."""
Hold = Annotated[float, Duration("100ms", "365d")]
"""Seconds for which something holds, or does not."""
Condition = Annotated[str, BeforeValidator(as_text), Field(min_length=1)]
TextTemplate = Annotated[str, BeforeValidator(as_text)]
Globs = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=256)], ...],
    Field(strict=False, max_length=64),
    BeforeValidator(one_or_more),
]
Words = Annotated[tuple[str, ...], Field(strict=False, max_length=64), BeforeValidator(one_or_more)]
Severity = Any  # a word, or the parameter of a template: checked where parameters are known
