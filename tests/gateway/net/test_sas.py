"""Tokens in place of a password: what they open, that they never end in use, and what they need the clock for."""

from __future__ import annotations

from typing import Any

import pytest

from fieldgate.config.sas import SasConfig
from fieldgate.mqtt.packets import Disconnect, Publish
from fieldgate.net import login
from fieldgate.net.sas import SasTokens, sas_token
from hub_kit import Clocks, Hub
from uplink_kit import MemoryFeed, ScriptedBroker, make_events, running, until

HOUR_S = 3600.0
KEY = "c2VjcmV0LWtleS1vZi1hLWRldmljZQ=="
OTHER_KEY = "c2VjcmV0LWtleS1vZi1hbm90aGVyLW9uZQ=="


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    monkeypatch.setattr(login, "_CLOCK_POLL_S", 0.01)
    return Clocks(monkeypatch)


@pytest.fixture
async def hub():
    async with ScriptedBroker().serving() as broker:
        yield Hub(broker, "127.0.0.1", "plant-7", KEY)


def to(hub: Hub, **more: Any) -> dict[str, Any]:
    """Settings for that hub; in 3.1.1, as the template says."""
    return {
        "url": f"mqtt://127.0.0.1:{hub.broker.port}",
        "client_id": "plant-7",
        "version": "3.1.1",
        "topic": "devices/plant-7/messages/events/",
        "puback_timeout": "1h",
        "keep_alive": "18h",
        "sas": {"key": KEY},
        **more,
    }


def test_a_token_is_what_the_hub_computes_itself() -> None:
    """By a value worked out once with openssl dgst -sha256 -hmac."""
    token = sas_token(
        resource="hub.azure-devices.net/devices/plant-7", key=b"secret-key-of-a-device", expires_at_s=1_800_000_000
    )

    assert token == (
        "SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2Fplant-7"
        "&sig=94z2D9rhXJJHHI4HsPhr9VaZDJv00E%2Fqz6KikRx%2FOv8%3D&se=1800000000"
    )


def test_a_policy_opens_the_hub_and_a_resource_what_it_names() -> None:
    """The key of a policy is not a device's."""
    policy = SasTokens(SasConfig(key=KEY, policy="de vice"), host="h", client_id="d").take(now_s=0, wall_s=0)
    other = SasTokens(SasConfig(key=KEY, resource="h/x"), host="h", client_id="d").take(now_s=0, wall_s=0)

    assert "sr=h&" in policy
    assert policy.endswith("&skn=de%20vice")
    assert "sr=h%2Fx&" in other


@pytest.mark.parametrize(("ttl", "renew_s", "late_s"), [(10.0, 8.5, 9.25), (3600.0, 3300.0, 3450.0)])
def test_a_token_is_renewed_before_it_ends(ttl: float, renew_s: float, late_s: float) -> None:
    """With time left to wait for what is on the way."""
    tokens = SasTokens(SasConfig.model_construct(key=SasConfig(key=KEY).key, ttl=ttl), host="h", client_id="d")

    token = tokens.take(now_s=100.0, wall_s=1e9)

    assert tokens.renew_at_s == pytest.approx(100 + renew_s)
    assert tokens.late_at_s == pytest.approx(100 + late_s)
    assert f"&se={1_000_000_000 + int(ttl)}" in token


async def test_the_hub_takes_everything(hub: Hub) -> None:
    """Log-in, topic, QoS and flags as its dialect has them."""
    feed = MemoryFeed()
    feed.add(make_events(300))

    async with running(feed, 1, mqtt=to(hub)) as uplink:
        await feed.settled(300)
        shown = repr(uplink.status)

    assert feed.delivered_seqs == list(range(1, 301))
    assert (hub.refusals, hub.violations) == ([], [])
    assert KEY not in shown


async def test_the_key_of_another_device_is_refused(hub: Hub) -> None:
    """The control: the hub does check."""
    async with running(MemoryFeed(), 1, mqtt=to(hub, sas={"key": OTHER_KEY})) as uplink:
        await until(lambda: uplink.status.state == "refused")

        reason = uplink.status.reason
    assert reason.startswith("the server does not authorise this client; is the shared key the right one, and this")
    assert set(hub.refusals) == {"wrong signature"}


async def test_a_password_of_yesterday_is_refused(hub: Hub) -> None:
    """The mutant: a token that is made once and kept, as a fixed password would be."""
    tokens = SasTokens(SasConfig(key=KEY), host="127.0.0.1", client_id="plant-7")
    stale = tokens.take(now_s=0.0, wall_s=1_700_000_000.0)
    fixed = {"username": "127.0.0.1/plant-7/?api-version=2021-04-12", "password": stale}
    mqtt = {key: value for key, value in to(hub, **fixed).items() if key != "sas"}

    async with running(MemoryFeed(), 1, mqtt=mqtt) as uplink:
        await until(lambda: uplink.status.state == "refused")

    assert set(hub.refusals) == {"token has ended"}


async def test_a_renewal_loses_and_repeats_nothing(hub: Hub, clocks: Clocks) -> None:
    """Events flow, the token's end comes near three times; each is sent once and the goodbye is said."""
    feed = MemoryFeed()
    async with running(feed, 1, mqtt=to(hub)) as uplink:
        for round_number in range(4):
            feed.add(make_events(250, 1 + 250 * round_number))
            uplink.kick()
            await feed.settled(250 * round_number + 50)
            clocks.moved_s += HOUR_S - 299
            await until(lambda number=round_number: len(hub.tokens) > number + 1)
        await feed.settled(1000)
        await until(lambda: uplink.status.state == "connected")
    await until(lambda: all(isinstance(peer.packets[-1], Disconnect) for peer in hub.broker.peers))

    arrived = [publish for publish in hub.broker.arrived if isinstance(publish, Publish)]
    assert feed.delivered_seqs == list(range(1, 1001))
    assert len(arrived) == 1000
    assert not any(publish.dup for publish in arrived)
    assert hub.ends_at == sorted(set(hub.ends_at))
    assert len(hub.ends_at) == 5
    assert (hub.refusals, hub.violations) == ([], [])


async def test_a_renewal_waits_for_what_is_on_the_way(hub: Hub, clocks: Clocks) -> None:
    """Leaving at once would make a copy of everything in flight."""
    held: list[tuple[Any, Publish]] = []
    hub.broker.on_publish = lambda peer, publish: held.append((peer, publish))
    feed = MemoryFeed()
    feed.add(make_events(5))
    async with running(feed, 1, mqtt=to(hub)) as uplink:
        await until(lambda: len(held) == 5)
        clocks.moved_s += HOUR_S - 299
        await until(lambda: uplink._connection._is_leaving)
        feed.add(make_events(5, 6))
        uplink.kick()
        peers_while_waiting, held_while_waiting = len(hub.broker.peers), len(held)
        for peer, publish in held:
            peer.ack(publish)
        hub.broker.on_publish = lambda peer, publish: peer.ack(publish)
        await feed.settled(10)

    assert (peers_while_waiting, held_while_waiting) == (1, 5)
    assert len(hub.broker.peers) == 2
    assert len(hub.broker.arrived) == 10


async def test_a_hub_that_acknowledges_nothing_does_not_hold_up_the_renewal(hub: Hub, clocks: Clocks) -> None:
    """The token would end in use; what is in flight is sent again, which the protocol forces."""
    hub.broker.on_publish = lambda peer, publish: None if peer.number == 1 else peer.ack(publish)
    feed = MemoryFeed()
    feed.add(make_events(5))
    async with running(feed, 1, mqtt=to(hub)):
        await until(lambda: len(hub.broker.arrived) == 5)
        clocks.moved_s += HOUR_S - 149
        await feed.settled(5)

    assert len(hub.broker.peers) == 2
    payloads = [bytes(publish.payload) for publish in hub.broker.arrived]
    assert payloads[:5] == payloads[5:]


async def test_without_the_time_there_is_no_token_and_with_it_there_is(hub: Hub, clocks: Clocks) -> None:
    """A Pi boots in 1970: the status says what is missing, and the connection comes when the clock does."""
    clocks.is_synced = False
    feed = MemoryFeed()
    feed.add(make_events(10))
    async with running(feed, 1, mqtt=to(hub)) as uplink:
        await until(lambda: uplink.status.state == "backoff")
        reason = uplink.status.reason
        tried = len(hub.broker.peers)
        clocks.is_synced = True
        await feed.settled(10)

    assert reason == "this machine's clock is not set, and a SAS token needs the time; connects once it is set"
    assert tried == 0


async def test_a_password_needs_no_clock(clocks: Clocks) -> None:
    """The control: only tokens wait for the time (P6)."""
    clocks.is_synced = False
    async with ScriptedBroker().serving() as broker, running(MemoryFeed(), broker.port) as uplink:
        await until(lambda: uplink.status.state == "connected")


async def test_nothing_that_is_said_holds_the_key_or_a_token(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    """Logs are pasted into tickets."""
    async with running(MemoryFeed(), 1, mqtt=to(hub)) as uplink:
        await until(lambda: uplink.status.state == "connected")
        hub.broker.peers[0].close()
        await until(lambda: len(hub.tokens) == 2)
    said = capfd.readouterr()

    assert "uplink.connected" in said.out
    for secret in (KEY, *hub.tokens):
        assert secret not in said.out + said.err
