"""A webhook whose server says no: for good, until a person acts, or of one alert only."""

from __future__ import annotations

import asyncio

import pytest

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward import webhook_uplink as module
from fieldgate.forward.webhook_verdict import Doubts
from uplink_kit import until
from webhook_kit import ScriptedHook, alert, answer, calling, feed_of, webhook_config

# -- what a person must mend ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 501])
async def test_a_server_that_lets_nobody_in_gets_it_once_that_is_mended(status: int):
    """A token that was changed at the server is no reason to give up the alerts of the night, nor to reorder them."""
    feed = feed_of(alert(1), alert(2, state="resolved"))
    async with (
        ScriptedHook(*[answer(status, b"no\n such\x1b[31m hook")] * 3).serving() as hook,
        calling(feed, webhook_config(hook.port)) as uplink,
    ):
        await until(lambda: uplink.status.state == "refused")
        reason = uplink.status.reason
        await feed.settled(2)
        await until(lambda: uplink.status.state == "ready")

    assert reason == f"the server answers {status} Words: no such?[31m hook"
    assert hook.ids == ["1", "1", "1", "1", "2"]
    assert feed.done == {1: "delivered", 2: "delivered"}


async def test_parking_whatever_comes_while_a_token_is_wrong_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: 401 says something of the event."""
    monkeypatch.setattr(module, "verdict", lambda status: "taken" if status == 200 else "never")

    with pytest.raises((AssertionError, TimeoutError)):
        async with asyncio.timeout(2):
            await test_a_server_that_lets_nobody_in_gets_it_once_that_is_mended(401)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int):
    """It would take the alert, and the token with it, to a place that nobody has written down."""
    feed = feed_of(alert(1))
    async with ScriptedHook().serving() as other, ScriptedHook().serving() as hook:
        hook.replies.append(answer(status, Location=f"http://127.0.0.1:{other.port}/"))
        async with calling(feed, webhook_config(hook.port)) as uplink:
            await until(lambda: uplink.status.state == "refused")
            reason = uplink.status.reason
            await feed.settled(1)

    assert other.requests == []
    assert f"http://127.0.0.1:{other.port}/" in reason
    assert "no redirect is followed" in reason


async def test_a_firewall_that_dislikes_one_alert_does_not_hold_up_the_others_for_ever():
    """403 is about us or about what is said; who else is let in tells."""
    feed = feed_of(alert(1), alert(2))
    hook = ScriptedHook()
    hook.on_request = lambda request: answer(403) if request.headers["idempotency-key"].endswith("-1") else answer(200)
    async with hook.serving(), calling(feed, webhook_config(hook.port)):
        await feed.settled(2)

    assert hook.ids == ["1"] * 5 + ["2", "1"]
    assert feed.done == {1: "the server cannot take it, and takes others: 403 Words", 2: "delivered"}


async def test_another_secret_is_tried_at_once():
    """Who has put the token right, and reloaded, must not wait for an hour that the server had asked for before."""
    feed = feed_of(alert(1), alert(2))
    hook = ScriptedHook()
    hook.on_request = lambda request: (
        answer(200) if request.headers["authorization"] == "Bearer new" else answer(401, Retry_After="3600")
    )
    async with hook.serving():
        old = webhook_config(hook.port, authorization="Bearer old")
        async with calling(feed, old) as uplink:
            await until(lambda: uplink.status.state == "refused")
            written = {"url": old.url.reveal(), "authorization": "Bearer new"}
            uplink.reconfigure(UplinkConfig.model_validate({"webhook": written}))
            await feed.settled(2)

    assert hook.ids == ["1", "1", "2"]


async def test_waiting_on_with_a_new_secret_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: a pause is a pause."""
    never_set = property(lambda self: asyncio.Event(), lambda self, event: None)
    monkeypatch.setattr(module.WebhookUplink, "_is_changed", never_set, raising=False)

    with pytest.raises((AssertionError, TimeoutError)):
        async with asyncio.timeout(2):
            await test_another_secret_is_tried_at_once()


# -- what is never taken --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422, 451])
async def test_what_is_refused_for_good_is_parked_with_the_servers_words(status: int):
    """It is kept for a person, and the next alert goes on."""
    feed = feed_of(alert(1), alert(2))
    async with (
        ScriptedHook(answer(status, b"no\n such\x1b[31m hook")).serving() as hook,
        calling(feed, webhook_config(hook.port)) as uplink,
    ):
        await feed.settled(2)
        parked = uplink.status.parked

    assert hook.ids == ["1", "2"]
    assert feed.done[1] == f"the server refuses it: {status} Words: no such?[31m hook"
    assert (feed.done[2], parked) == ("delivered", 1)


async def test_one_alert_that_breaks_the_server_does_not_hold_up_the_others_for_ever():
    """After a few tries the next one goes first; when that is taken, it was not the server."""
    feed = feed_of(alert(1), alert(2), alert(3))
    hook = ScriptedHook()
    hook.on_request = lambda request: answer(500) if request.headers["idempotency-key"].endswith("-1") else answer(200)
    async with hook.serving(), calling(feed, webhook_config(hook.port)):
        await feed.settled(3)

    assert hook.ids == ["1"] * 5 + ["2", "1", "3"]
    assert feed.done[1] == "the server cannot take it, and takes others: 500 Words"
    assert (feed.done[2], feed.done[3]) == ("delivered", "delivered")


async def test_a_server_that_takes_nothing_makes_no_alert_guilty():
    """The control: its fault is not theirs, however long it lasts; all arrive, the oldest first."""
    feed = feed_of(alert(1), alert(2))
    hook = ScriptedHook(*[answer(500)] * 20)
    async with hook.serving(), calling(feed, webhook_config(hook.port)):
        await feed.settled(2)

    assert set(feed.done.values()) == {"delivered"}
    assert set(hook.ids[:5]) == {"1"}


# -- mutants --------------------------------------------------------------------------------------------------


async def test_never_doubting_an_event_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: the first one is sent again and again."""
    monkeypatch.setattr(Doubts, "is_trial_due", False)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await test_one_alert_that_breaks_the_server_does_not_hold_up_the_others_for_ever()


async def test_blaming_an_event_for_a_dead_server_is_found_out(monkeypatch: pytest.MonkeyPatch):
    """Mutant: who fails five times is parked, whatever the server does with others."""
    monkeypatch.setattr(module, "verdict", lambda status: "taken" if status == 200 else "never")

    with pytest.raises(AssertionError):
        await test_a_server_that_takes_nothing_makes_no_alert_guilty()
