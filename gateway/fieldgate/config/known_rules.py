"""What rules are checked against besides the profiles: the uplinks of a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from fieldgate.config import Config
from fieldgate_rules.reading import Known

__all__ = ["known_to_rules"]


def known_to_rules(config: Config, devices: Mapping[str, str] | None = None) -> Known:
    """Return what rules may name; ``devices`` are those that were heard, with their profiles, if somebody knows."""
    return Known({name: uplink.kind for name, uplink in config.uplinks.items()}, devices)
