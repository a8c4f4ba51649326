"""A listener that is given other settings while it runs is as one that was made by them; who is there stays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from access_kit import cheap_hash, knock, users_text, write_private
from fieldgate.config.changes import HOT_KEYS
from fieldgate.config.listen import HTTP_KEYS, MQTT_KEYS, ListenConfig
from fieldgate.ingest.access_files import AccessFiles
from fieldgate.ingest.http_listener import HttpListener
from fieldgate.ingest.listener import Listener
from fieldgate.ingest.mqtt_listener import MqttListener
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Publish, Reason
from http_kit import HttpClient, post, serving_http
from listener_kit import HeldIntake, SettlingIntake, serving

OTHER: dict[str, object] = {
    "max_packet": "1KiB", "max_body": "1KiB", "max_head": "2KiB", "request_timeout": "2s", "answer_timeout": "3s",
    "idle_timeout": "4s", "max_clients": 7, "max_clients_per_address": 8, "max_connecting": 9, "connect_timeout": "1s",
    "receive_maximum": 11, "max_unsettled": "12KiB", "max_unsent": "13KiB", "max_keep_alive": "14s",
    "max_in_flight": 15, "max_unreleased": 1600, "max_subscriptions": 17, "max_filters_size": "18KiB",
    "max_user_properties": 19,
}  # fmt: skip
LIMITS = [key.removeprefix("listen.*.") for key in HOT_KEYS if key.startswith("listen.*.m") or "_timeout" in key]


def settings(protocol: str, **more: object) -> ListenConfig:
    return ListenConfig.model_validate({protocol: "127.0.0.1:0", **more})


def made_by(config: ListenConfig) -> Listener[Any]:
    kind = MqttListener if config.protocol == "mqtt" else HttpListener
    return kind(config, HeldIntake(), LocalBroker())


def terms(listener: Listener[Any]) -> Iterator[object]:
    """All that a new connection would be held to."""
    yield listener._limits  # type: ignore[attr-defined]  # each of the two has its own
    crowd, gate = listener.crowd, listener.gate
    yield crowd._max_clients, crowd._max_per_address, crowd._max_strangers, gate._max_pause_s
    if isinstance(listener, MqttListener):
        yield listener._inbox_limits
    if isinstance(listener, HttpListener):
        yield listener._terms.max_unsettled_bytes


@pytest.mark.parametrize("key", LIMITS)
async def test_every_limit_that_may_change_holds_for_the_next_connection(key: str) -> None:
    """A key that is taken at a reload and counts for nothing would be a lie of the command."""
    protocol = "http" if key in HTTP_KEYS else "mqtt"
    assert protocol == "http" or key in MQTT_KEYS or key.startswith(("max_c", "max_unset", "connect"))
    written = settings(protocol, **{key: OTHER[key]})
    listener = made_by(settings(protocol))
    before = list(terms(listener))

    listener.reconfigure(written, listener.gate.access, None)

    assert list(terms(listener)) == list(terms(made_by(written)))
    assert list(terms(listener)) != before


async def test_who_is_there_lives_on_and_who_comes_finds_the_new_limits() -> None:
    """A reload at noon puts nobody out."""
    intake = SettlingIntake()
    async with serving(intake) as listener:
        reason, old = await knock(listener.port, client_id="old")
        assert reason == 0
        written = settings("mqtt", max_clients=1, max_packet="200B")

        listener.reconfigure(written, listener.gate.access, None)
        refused, _ = await knock(listener.port, client_id="new")
        old.writer.write(encode(Publish("t", b"x" * 500, qos=1, packet_id=1), 5))
        answer = await old.receive()

        assert refused == Reason.QUOTA_EXCEEDED
        assert getattr(answer, "packet_id", None) == 1


async def test_the_users_of_another_file_count_and_who_is_not_in_it_is_put_out(tmp_path: Path) -> None:
    """The path itself may change: a file per month, a link that is moved."""
    first, second = tmp_path / "first", tmp_path / "second"
    write_private(first, users_text(ann="a", bob="b"))
    hashes = dict(line.split(":", 1) for line in first.read_text().splitlines())
    write_private(second, f"ann:{hashes['ann']}\ncid:{cheap_hash('c')}\n")
    listen = partial(settings, "mqtt")
    async with serving(SettlingIntake(), auth={"users": str(first)}) as listener:
        _, ann = await knock(listener.port, "ann", "a", client_id="1")
        _, bob = await knock(listener.port, "bob", "b", client_id="2")
        written = listen(auth={"users": str(second)})

        listener.reconfigure(written, AccessFiles(written.auth).load(), None)
        goodbye = await bob.receive()
        ann.writer.write(encode(Publish("t", b"x", qos=1, packet_id=1), 5))

        assert getattr(goodbye, "reason", None) == Reason.NOT_AUTHORIZED
        assert getattr(await ann.receive(), "packet_id", None) == 1
        assert (await knock(listener.port, "cid", "c", client_id="3"))[0] == 0
        assert (await knock(listener.port, "bob", "b", client_id="4"))[0] == Reason.BAD_USER_NAME_OR_PASSWORD


async def test_a_token_that_was_rotated_is_none_any_more() -> None:
    """It may have leaked: whoever came in with it is asked again, on the same connection as well."""
    old, new = "old-token-0123456789", "new-token-0123456789"
    async with serving_http(SettlingIntake(), auth={"tokens": {"roof": old}}) as listener:
        client = await HttpClient.open(listener.port)
        assert (await client.ask(post("/t", b"1", f"Authorization: Bearer {old}"))).status == 204
        written = settings("http", auth={"tokens": {"roof": new}})

        listener.reconfigure(written, listener.gate.access, None)

        assert (await client.ask(post("/t", b"2", f"Authorization: Bearer {old}"))).status == 401
        client = await HttpClient.open(listener.port)
        assert (await client.ask(post("/t", b"3", f"Authorization: Bearer {new}"))).status == 204
