"""How long the certificates are valid that the gateway shows to brokers and webhooks, by the files as they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fieldgate.config import Config
from fieldgate.config.certificates import SOON_DAYS, read_validity

__all__ = ["Certificates", "read_certificates"]

Certificates = dict[tuple[str, str], dict[str, Any]]
"""By ``uplink`` or ``source`` and its name."""


def read_certificates(config: Config, *, wall_ns: int) -> Certificates:
    """Read every one that is configured: files, so not on the loop."""
    now = datetime.fromtimestamp(wall_ns / 1e9, UTC)
    return {who: _facts(path, now) for who, path in _configured(config)}


def _configured(config: Config) -> Iterator[tuple[tuple[str, str], Path]]:
    for name, uplink in config.uplinks.items():
        far_side = uplink.mqtt if uplink.webhook is None else uplink.webhook
        if far_side is not None and far_side.certificate is not None:
            yield ("uplink", name), far_side.certificate
    for source in config.sources:
        if source.mqtt is not None and source.mqtt.certificate is not None:
            yield ("source", source.name), source.mqtt.certificate


def _facts(path: Path, now: datetime) -> dict[str, Any]:
    try:
        validity = read_validity(path)
    except (OSError, ValueError):
        return {"expires_at": None, "days_left": None, "warning": f"{path} cannot be read as a certificate"}
    days = (validity.not_after - now).days
    return {
        "expires_at": validity.not_after.isoformat(),
        "days_left": days,
        "warning": _warning(validity.not_before > now, validity.not_after <= now, days, validity.not_after),
    }


def _warning(is_early: bool, is_over: bool, days: int, end: datetime) -> str:
    if is_early:
        return "ours is not valid yet by this machine's clock; is it set?"
    if is_over:
        return f"ours has expired on {end.date()}: a server that looks at it lets nobody in"
    return f"ours expires on {end.date()}, in {days} days" if days < SOON_DAYS else ""
