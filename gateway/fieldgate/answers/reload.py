"""Reading everything again because a person asks for it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import msgspec

from fieldgate.control import Answer, Handler
from fieldgate.reload import Reloader

__all__ = ["reload_facts", "reload_handlers"]


class _Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


def reload_handlers(reloader: Reloader) -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {"reload": partial(_reload, reloader)}


def reload_facts(reloader: Reloader) -> dict[str, Any]:
    """What the last reload came to, as ``status`` has it."""
    last = reloader.last
    return {
        "reloads": reloader.reloads,
        "problems": list(reloader.problems),
        "needs_restart": list(last.needs_restart) if last is not None else [],
    }


async def _reload(reloader: Reloader, request: dict[str, Any]) -> Answer:
    msgspec.convert(request, _Nothing)
    outcome = await reloader.reload()
    yield {"reloaded": not outcome.problems, **asdict(outcome)}
