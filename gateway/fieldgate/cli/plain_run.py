"""``fieldgate run`` as systemd and nearly everybody type it, understood without typer: 1.5 MB for as long as it runs.

Whatever is not plain (help, an option twice, a mistake) is typer's to understand or to refuse: what is understood here
means the same there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["LOG_LEVELS", "PlainRun", "plain_run"]

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_OPTIONS: Final = {"-c": "config", "--config": "config", "--log-level": "log_level"}


@dataclass(frozen=True, slots=True)
class PlainRun:
    """What is to be run."""

    config: Path | None
    log_level: str


def plain_run(words: list[str]) -> PlainRun | None:
    """Return what ``run`` and its options say; None where that is for typer to find out."""
    if words[:1] != ["run"]:
        return None
    found: dict[str, str] = {}
    rest = iter(words[1:])
    for word in rest:
        name, joined, value = word.partition("=")
        option = _OPTIONS.get(name)
        if not joined:
            value = next(rest, "")
        if option is None or option in found or value[:1] in ("", "-") or (joined and name == "-c"):
            return None
        found[option] = value
    log_level = found.get("log_level", "info")
    if log_level not in LOG_LEVELS:
        return None
    return PlainRun(Path(found["config"]) if "config" in found else None, log_level)
