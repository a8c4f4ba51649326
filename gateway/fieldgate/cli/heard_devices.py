"""Which devices were heard: the running gateway says it, or what the last one stored."""

from __future__ import annotations

import asyncio
from typing import Any

from fieldgate.answers.devices import facts_of_stored
from fieldgate.config import Config
from fieldgate.control import GatewayNotRunning, socket_path, stream
from fieldgate.errors import FieldgateError
from fieldgate_devices.event import GENERIC

__all__ = ["heard_devices", "heard_profiles"]


async def heard_devices(config: Config, request: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return the facts about them, and whether no gateway is running (True)."""
    try:
        return [item async for item in stream(socket_path(config.journal.path), request)], False
    except GatewayNotRunning:
        return list(facts_of_stored(config, request)), True


def heard_profiles(config: Config) -> dict[str, str] | None:
    """Return the profile of each device that was heard, empty where it has none or several; None if nobody says it."""
    request = {"do": "devices.status", "names": None, "profile": None, "silent": False, "has_fields": False}
    try:
        found, _ = asyncio.run(heard_devices(config, request))
    except FieldgateError:
        return None
    profiles: dict[str, set[str]] = {}
    for one in found:
        profiles.setdefault(one["device"], set()).add(one["profile"] or GENERIC)
    only = {name: next(iter(each)) for name, each in profiles.items() if len(each) == 1}
    return {name: "" if only.get(name, GENERIC) == GENERIC else only[name] for name in profiles} or None
