"""The way to a webhook, and its life from fault to fault."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from fieldgate.forward.webhook_uplink import WebhookUplink
from fieldgate_devices.event import Extra, Publish
from tls_kit import Authority
from uplink_kit import make_event, until
from way_kit import ConnectProxy
from webhook_kit import ScriptedHook, alert, answer, calling, feed_of, webhook_config


def server_context(authority: Authority, folder: Path) -> ssl.SSLContext:
    files = authority.write_server(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certificate"], files["key"])
    context.set_alpn_protocols(["http/1.1"])
    return context


# -- the way there --------------------------------------------------------------------------------------------


async def test_tls_is_verified_and_speaks_http_1_1(tmp_path: Path):
    """With its own authority; the body is not readable on the way."""
    authority = Authority()
    ca = authority.write_ca(tmp_path / "ca.pem")
    feed = feed_of(alert(1))
    async with (
        ScriptedHook().serving(server_context(authority, tmp_path)) as hook,
        calling(feed, webhook_config(hook.port, is_tls=True, ca=str(ca))),
    ):
        await feed.settled(1)

    assert hook.ids == ["1"]


@pytest.mark.parametrize(
    ("how", "word"),
    [({"server_name": "pager.example"}, "not for pager.example"), ({"ca": None}, "authority that is not known here")],
)
async def test_a_server_with_a_wrong_certificate_gets_nothing(how: dict[str, str | None], word: str, tmp_path: Path):
    """Whoever sits in between would read every alert, and the token."""
    authority = Authority()
    settings = {"ca": str(authority.write_ca(tmp_path / "ca.pem")), **how}
    feed = feed_of(alert(1))
    async with (
        ScriptedHook().serving(server_context(authority, tmp_path)) as hook,
        calling(feed, webhook_config(hook.port, is_tls=True, **settings)) as uplink,
    ):
        await until(lambda: uplink.status.state == "refused")
        reason = uplink.status.reason

    assert word in reason
    assert hook.requests == []
    assert feed.done == {}


async def test_it_goes_through_a_proxy():
    """The only way out of many plants."""
    feed = feed_of(alert(1))
    async with (
        ScriptedHook().serving() as hook,
        ConnectProxy().serving() as proxy,
        calling(feed, webhook_config(hook.port, proxy=f"http://127.0.0.1:{proxy.port}")),
    ):
        await feed.settled(1)

    assert hook.ids == ["1"]
    assert proxy.asked == [f"127.0.0.1:{hook.port}"]


# -- its life -------------------------------------------------------------------------------------------------


async def test_after_a_fault_everything_is_handed_out_again():
    """The supervisor starts it anew; nothing that was on its way is forgotten."""
    feed = feed_of(alert(1), alert(2))
    hook = ScriptedHook(None)
    async with hook.serving():
        config = webhook_config(hook.port)
        async with calling(feed, config):
            await hook.requested(1)
        assert feed.done == {}
        async with calling(feed, config):
            await feed.settled(2)

    assert hook.ids == ["1", "1", "2"]


async def test_a_kick_while_a_request_is_under_way_is_not_lost(monkeypatch: pytest.MonkeyPatch):
    """Else an alert would wait for the next one."""
    feed = feed_of(alert(1))
    hook = ScriptedHook()
    uplinks: list[WebhookUplink] = []

    def reply(request) -> bytes:
        if request.headers["idempotency-key"].endswith("-1"):
            feed.add([alert(2)])
            uplinks[0].kick()
        return answer(200)

    hook.on_request = reply
    async with hook.serving(), calling(feed, webhook_config(hook.port)) as uplink:
        uplinks.append(uplink)
        await feed.settled(2)

    assert hook.ids == ["1", "2"]


async def test_a_kick_without_an_alert_wakes_nobody():
    """The outbox kicks at every turn, thousands of times a second; few of them bring an alert."""
    feed = feed_of()
    async with ScriptedHook().serving() as hook, calling(feed, webhook_config(hook.port)) as uplink:
        await feed.until(lambda: feed.down[-1:] == [False])
        await until(lambda: uplink._is_idle)
        for _ in range(3):
            uplink.kick()
        assert not uplink._bell.is_set()

        wish = make_event(1, b"on", extra=Extra(uplinks=("pager",), publish=Publish("house/siren")))
        feed.add([wish])
        feed.add([alert(2)])
        uplink.kick()
        await feed.settled(2)

    assert hook.ids == ["2"]
