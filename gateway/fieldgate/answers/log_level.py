"""How much the log says, while the gateway runs: asked and changed by ``fieldgate log-level``."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
import structlog

from fieldgate import clock
from fieldgate.control import Answer, Handler
from fieldgate.observe.log import STATE, tell_left_out
from fieldgate.observe.log_level import LEVELS, Level

__all__ = ["log_handlers", "tend_log"]

log = structlog.get_logger("fieldgate")

_LOOK_EVERY_S: Final = 5.0
_QUIET_S: Final = 10.0  # so long no line of a kind has come: what was left out of it is said
_MAX_FOR_S: Final = 365 * 86_400.0


class _Level(msgspec.Struct, forbid_unknown_fields=True):
    """``level`` None: nothing is changed; ``for_s`` None: for good, until the gateway is started again."""

    level: Level | None = None
    for_s: float | None = None


def log_handlers() -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {"log.level": _level}


async def _level(request: dict[str, Any]) -> Answer:
    asked = msgspec.convert(request, _Level)
    if asked.level is not None:
        for_s = None if asked.for_s is None else min(max(asked.for_s, 0.0), _MAX_FOR_S)
        now_s = clock.boot_s()
        is_less = LEVELS.index(asked.level) > LEVELS.index(STATE.level.current(now_s))
        if is_less:  # said while it can be
            log.info("log.level_changed", now=asked.level, for_s=for_s)
        STATE.level.set(asked.level, now_s=now_s, for_s=for_s)
        if not is_less:
            log.info("log.level_changed", now=asked.level, for_s=for_s)
    now_s = clock.boot_s()
    left_s = STATE.level.left_s(now_s)
    yield {
        "level": STATE.level.current(now_s),
        "usual": STATE.level.usual,
        "left_s": None if left_s is None else round(left_s, 1),
        "lines": dict(STATE.lines),
        "left_out": STATE.left_out,
    }


async def tend_log() -> None:
    """Say, until cancelled, what was left out of what has become quiet, and that the usual level is back."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        now_s = clock.boot_s()
        tell_left_out(now_s, for_s=_QUIET_S)
        if STATE.level.has_gone_back(now_s):
            log.info("log.level_changed", now=STATE.level.usual, for_s=None)
