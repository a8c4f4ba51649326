"""``fieldgate status`` says when our own certificates end, before a broker does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fieldgate.answers.own_certificates import read_certificates
from fieldgate.config import Config
from tls_kit import Authority

NOW = datetime(2030, 6, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def facts_of(folder: Path, certificate: Path, key: Path) -> dict[str, Any]:
    mqtt = {"url": "mqtts://b.example", "certificate": str(certificate), "key": str(key)}
    config = Config.model_validate(
        {"uplinks": {"cloud": {"mqtt": mqtt}, "plain": {"mqtt": {"url": "mqtt://b.example"}}}},
        context={"folder": folder},
    )
    found = read_certificates(config, wall_ns=int(NOW.timestamp() * 1e9))
    assert list(found) == [("uplink", "cloud")]
    return found["uplink", "cloud"]


@pytest.mark.parametrize(
    ("begins", "ends", "days_left", "warning"),
    [
        (-DAY, 90 * DAY, 90, ""),
        (-DAY, 21 * DAY, 21, ""),
        (-DAY, 20 * DAY + DAY / 2, 20, "ours expires on 2030-07-06, in 20 days"),
        (-9 * DAY, -DAY, -1, "ours has expired on 2030-06-14: a server that looks at it lets nobody in"),
        (DAY, 90 * DAY, 90, "ours is not valid yet by this machine's clock; is it set?"),
    ],
)
def test_what_is_left_of_a_certificate_is_told(
    tmp_path: Path, begins: timedelta, ends: timedelta, days_left: int, warning: str
) -> None:
    """Three weeks are enough to have a new one made."""
    pair = Authority().write_client(tmp_path, "plant", not_before=NOW + begins, not_after=NOW + ends)

    facts = facts_of(tmp_path, *pair)

    assert (facts["days_left"], facts["warning"]) == (days_left, warning)
    assert datetime.fromisoformat(facts["expires_at"]) == NOW + ends
    json.dumps(facts)


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    """It was one when the gateway started."""
    certificate, key = Authority().write_client(tmp_path, "plant")
    certificate.write_text("not one")

    assert facts_of(tmp_path, certificate, key)["warning"] == f"{certificate} cannot be read as a certificate"
