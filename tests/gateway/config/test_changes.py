"""What a changed configuration changes in a gateway that runs: at once, or after a restart; never a half of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fieldgate.config import Config
from fieldgate.config.changes import HOT_KEYS, compare
from fieldgate.config.tree import TREE

BASE: dict[str, Any] = {
    "gateway": {"id": "g"},
    "listen": [
        {"mqtt": "127.0.0.1:1883", "auth": {"users": "users"}},
        {"mqtt": "127.0.0.1:8883", "tls": {"certificate": "a.pem", "key": "a.key"}},
    ],
    "uplinks": {
        "cloud": {"mqtt": {"url": "mqtts://cloud.example", "username": "u", "password": "old"}, "rate": "5/s"},
        "pager": {"webhook": {"url": "https://pager.example", "authorization": "Bearer old"}},
    },
    "journal": {"path": "state"},
}


def config(*changes: tuple[str, object]) -> Config:
    """`BASE` with each value put at its dotted place; None takes it away."""
    written: dict[str, Any] = _copy(BASE)
    for place, value in changes:
        *steps, last = place.split(".")
        at: Any = written
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at.setdefault(step, {})
        if value is None:
            del at[int(last) if isinstance(at, list) else last]
        else:
            at[last] = value
    return Config.model_validate(written, context={"folder": Path("/etc/fieldgate")})


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(below) for key, below in value.items()}
    return [_copy(one) for one in value] if isinstance(value, list) else value


def test_what_is_written_the_same_changes_nothing() -> None:
    """A reload for the sake of a rule must not touch the rest."""
    running = config()

    changes = compare(running, config())

    assert changes.config is running
    assert changes.counts == changes.needs_restart == ()


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ("listen.0.max_clients", 7, "listen[0].max_clients"),
        ("listen.0.auth.users", "others", "listen[0].auth.users"),
        ("listen.0.auth.acl", "acl.yaml", "listen[0].auth.acl"),
        ("listen.1.tls.certificate", "b.pem", "listen[1].tls.certificate"),
        ("uplinks.cloud.rate", "6/s", "uplinks.cloud.rate"),
        ("uplinks.cloud.max_age", "7d", "uplinks.cloud.max_age"),
        ("uplinks.pager.webhook.authorization", "Bearer new", "uplinks.pager.webhook.authorization"),
    ],
)
def test_what_may_change_counts_and_nothing_beside_it(place: str, value: object, key: str) -> None:
    """The next reload is compared with what the gateway has then."""
    written = config((place, value))

    changes = compare(config(), written)

    assert (changes.counts, changes.needs_restart) == ((key,), ())
    assert changes.config == written
    assert compare(changes.config, written).counts == ()


@pytest.mark.parametrize(
    ("place", "value", "key"),
    [
        ("gateway.id", "h", "gateway.id"),
        ("listen.0.mqtt", "127.0.0.1:1884", "listen[0].mqtt"),
        ("listen.0.auth.anonymous", True, "listen[0].auth.anonymous"),
        ("listen.0.auth", None, "listen[0].auth"),
        ("listen.0.tls", {"certificate": "a.pem"}, "listen[0].tls"),
        ("listen.1", None, "listen"),
        ("uplinks.cloud.format", "raw", "uplinks.cloud.format"),
        ("uplinks.pager", None, "uplinks.pager"),
        ("uplinks.more", {"mqtt": "self"}, "uplinks.more"),
        ("journal.max_size", "3GB", "journal.max_size"),
    ],
)
def test_what_needs_a_restart_is_named_and_applied_to_nothing(place: str, value: object, key: str) -> None:
    """The gateway is what it was until then, and says so again at the next reload."""
    running = config()

    changes = compare(running, config((place, value)))

    assert (changes.counts, changes.needs_restart) == ((), (key,))
    assert changes.config is running


def test_both_kinds_in_one_file_are_told_apart() -> None:
    """What can be done is done."""
    written = config(("journal.max_size", "3GB"), ("uplinks.cloud.rate", "6/s"))

    changes = compare(config(), written)

    assert (changes.counts, changes.needs_restart) == (("uplinks.cloud.rate",), ("journal.max_size",))
    assert changes.config.uplinks == written.uplinks
    assert changes.config.journal == config().journal


def test_a_new_secret_is_not_for_the_old_address() -> None:
    """A token would be shown to whoever sits at the old one."""
    written = config(
        ("uplinks.pager.webhook.url", "https://other.example"),
        ("uplinks.pager.webhook.authorization", "Bearer new"),
        ("uplinks.pager.rate", "1/s"),
    )

    changes = compare(config(), written)

    assert changes.counts == ("uplinks.pager.rate",)
    assert changes.needs_restart == ("uplinks.pager.webhook.url", "uplinks.pager.webhook.authorization")
    webhook = changes.config.uplinks["pager"].webhook
    assert webhook is not None
    assert webhook.authorization is not None
    assert webhook.authorization.reveal() == "Bearer old"


def test_a_secret_whose_file_has_changed_is_a_change_of_its_key(tmp_path: Path) -> None:
    """The file of the configuration itself stays the same when a password is rotated."""
    secret = tmp_path / "token"
    secret.write_text("old")
    secret.chmod(0o600)
    place = ("uplinks.pager.webhook.authorization", f"${{file:{secret}}}")
    running = config(place)
    secret.write_text("new")

    changes = compare(running, config(place))

    assert changes.counts == ("uplinks.pager.webhook.authorization",)
    assert "new" not in repr(changes)


def test_every_key_that_may_change_is_in_the_documentation() -> None:
    """An operator looks there before the edit."""
    text = (Path(__file__).parents[3] / "deploy" / "README.md").read_text(encoding="utf-8")
    told = {
        key.replace("[]", ".*").replace(".NAME", ".*") for key in re.findall(r"`([a-z]+(?:\[\]|\.NAME)[^`]*)`", text)
    }

    assert told == set(HOT_KEYS)


def test_every_key_that_may_change_is_a_key() -> None:
    """A typing error in the list would make a restart of a reload, silently."""
    known = {re.sub(r"\[\]|\.NAME", ".*", key.path) for key in TREE.all_keys()}

    assert set(HOT_KEYS) <= known
