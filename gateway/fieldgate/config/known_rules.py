"""What rules are checked against besides the profiles: the uplinks of a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from fieldgate.config import Config
from fieldgate.config.uplink import OwnListeners, UplinkConfig
from fieldgate_rules.reading import Known
from fieldgate_rules.reading.known import UplinkKind

__all__ = ["known_to_rules"]


def known_to_rules(config: Config, devices: Mapping[str, str] | None = None) -> Known:
    """Return what rules may name; ``devices`` are those that were heard, with their profiles, if somebody knows."""
    return Known({name: _kind(uplink) for name, uplink in config.uplinks.items()}, devices)


def _kind(uplink: UplinkConfig) -> UplinkKind:
    if uplink.webhook is not None:
        return "webhook"
    return "self" if isinstance(uplink.mqtt, OwnListeners) else "mqtt"
