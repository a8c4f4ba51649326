"""``fieldgate parked``: what the far side refused is seen, looked into, sent again, dropped; over restarts too."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from command_kit import fieldgate
from fieldgate.control import ask, socket_path, stream
from fieldgate.mqtt.packets import Publish
from gateway_kit import Gateway, eventually, publish_once, running
from uplink_kit import Peer, ScriptedBroker


class Picky:
    """A broker that refuses what holds ``refused``, and remembers the envelopes that it took."""

    def __init__(self, refused: bytes) -> None:
        self.refused = refused
        self.taken: list[dict[str, Any]] = []
        self.broker = ScriptedBroker()
        self.broker.on_publish = self._answer

    def _answer(self, peer: Peer, publish: Publish) -> None:
        if self.refused and self.refused in publish.payload:
            peer.ack(publish, 0x87)
            return
        self.taken.append(json.loads(publish.payload))
        peer.ack(publish)

    def data(self) -> list[Any]:
        return [one["data"] for one in self.taken if "data" in one and not one["type"].endswith(".gap")]


def uplinks(port: int) -> dict[str, Any]:
    return {"up": {"mqtt": {"url": f"mqtt://127.0.0.1:{port}", "keep_alive": "5s"}}}


async def is_parked(gateway: Gateway, number: int) -> bool:
    status = await gateway.status()
    is_even = status["uplinks"]["up"]["unaccounted"] == 0
    return is_even and status["uplinks"]["up"]["parked"] == status["uplinks"]["up"]["ledger"].get("parked", 0) == number


async def _has_come_back(gateway: Gateway) -> bool:
    """Whether nothing that was parked is on the way."""
    return [one["retrying"] for one in await listed(gateway)] == [False]


async def _is_even_on_disk(gateway: Gateway) -> bool:
    stats = await ask(socket_path(gateway.state), {"do": "journal.stats"})
    return not stats["parked"] and not any(row["reason"] == "parked" for row in stats["ledger"])


async def _is_empty(gateway: Gateway) -> bool:
    """Whether it is on disk that nothing is parked any more."""
    return not await listed(gateway)


async def listed(gateway: Gateway) -> list[dict[str, Any]]:
    """What the running gateway lists, as the command gets it."""
    request = {"do": "parked.list", "uplink": None, "ids": None}
    return [one async for one in stream(socket_path(gateway.state), request)]


async def test_a_refused_event_is_kept_over_a_restart_and_sent_again_when_a_person_says_so(tmp_path: Path) -> None:
    """The whole way: refused, counted, seen, restarted, retried, delivered under its old id, accounts exact."""
    picky = Picky(b"bad")
    async with picky.broker.serving():
        gateway = Gateway(tmp_path, uplinks=uplinks(picky.broker.port))
        async with running(gateway):
            for payload in (b'{"a":1}', b'{"bad":2}', b'{"a":3}'):
                await publish_once(gateway.port, "site/a", payload)
            await eventually("one is parked", lambda: is_parked(gateway, 1))
            status = await fieldgate("status", config=gateway.config)
            await eventually("it is listed", lambda: listed(gateway))
            one = (await fieldgate("parked", "list", "--json", config=gateway.config)).json
            shown = await fieldgate("parked", "show", one["id"], config=gateway.config)
            assert await gateway.stop() == 0
        stopped = await fieldgate("parked", "list", config=gateway.config)
        refused = await fieldgate("parked", "retry", "--all", config=gateway.config)

        picky.refused = b""
        async with running(gateway):
            retried = await fieldgate("parked", "retry", one["id"], config=gateway.config)
            await eventually("it arrives", lambda: {"bad": 2} in picky.data())
            await eventually("nothing is parked", lambda: is_parked(gateway, 0))
            after = (await gateway.drained("up"))["uplinks"]["up"]
            await eventually("that is on disk", lambda: _is_even_on_disk(gateway))
            stats = (await fieldgate("journal", "stats", "--json", config=gateway.config)).json
            verdict = await fieldgate("journal", "verify", config=gateway.config)

    assert "parked: 1 event that the far side does not take (see: fieldgate parked list)" in status.out
    assert (one["uplink"], one["topic"], one["lane"], one["retrying"]) == ("up", "site/a", "normal", False)
    assert "not authorized (0x87)" in one["reason"]
    assert "data" not in one
    assert '{"bad":2}' in shown.out
    assert "reason:   the server refuses it: not authorized (0x87)" in shown.out
    assert one["id"] in stopped.out
    assert "sending a parked event again needs the running gateway" in refused.err
    assert retried.out == "1 event sent again to up\n"
    (again,) = [envelope for envelope in picky.taken if envelope.get("data") == {"bad": 2}]
    assert again["id"] == one["id"]
    assert again["drained"] is True
    assert after["routed"] == after["delivered"] == 3
    assert after["ledger"] == {}
    assert stats["parked"] == {}
    assert [row for row in stats["ledger"] if row["reason"] == "parked"] == []
    assert verdict.code == 0, verdict.out


async def test_a_retry_asked_for_during_an_outage_outlives_a_kill(tmp_path: Path) -> None:
    """Nobody wants to wait at the keyboard until the link is back."""
    picky = Picky(b"bad")
    async with picky.broker.serving():
        gateway = Gateway(tmp_path, uplinks=uplinks(picky.broker.port))
        async with running(gateway):
            await publish_once(gateway.port, "site/a", b'{"bad":1}')
            await eventually("it is listed", lambda: listed(gateway))
        gateway.settings["uplinks"] = uplinks(9)
        async with running(gateway):
            told = await fieldgate("parked", "retry", "--all", config=gateway.config)
            again = await fieldgate("parked", "retry", "--all", config=gateway.config)

            async def is_marked() -> bool:
                return [one["retrying"] for one in await listed(gateway)] == [True]

            await eventually("the mark is on disk", is_marked)
        picky.refused = b""
        gateway.settings["uplinks"] = uplinks(picky.broker.port)
        async with running(gateway):
            await eventually("it arrives", lambda: {"bad": 1} in picky.data())
            await eventually("nothing is parked", lambda: is_parked(gateway, 0))

    assert told.out == "1 event sent again to up once it is connected\n"
    assert again.out == "1 event on the way already\n"


async def test_what_is_refused_again_stays_and_what_is_dropped_is_counted_as_that(tmp_path: Path) -> None:
    """Drop asks first; a wrong id is an error; binary payloads are shown so that a terminal survives them."""
    picky = Picky(b"bad")
    picky.refused = base64.b64encode(b"\x1b[2Jno")[:8]
    async with picky.broker.serving():
        gateway = Gateway(tmp_path, uplinks=uplinks(picky.broker.port))
        async with running(gateway):
            await publish_once(gateway.port, "site/a", b"\x1b[2Jno\xff\x00")
            (one,) = await eventually("it is listed", lambda: listed(gateway))
            shown = await fieldgate("parked", "show", one["id"], config=gateway.config)
            before = len(picky.broker.arrived)
            await fieldgate("parked", "retry", one["id"], config=gateway.config)
            await eventually("it was tried", lambda: len(picky.broker.arrived) > before)
            await eventually("it was refused again", lambda: _has_come_back(gateway))
            await eventually("it stays", lambda: is_parked(gateway, 1))
            unsure = await fieldgate("parked", "drop", "--all", config=gateway.config)
            still = await is_parked(gateway, 1)
            unknown = await fieldgate("parked", "drop", "--yes", "0-9", config=gateway.config)
            nothing = await fieldgate("parked", "drop", "--yes", config=gateway.config)
            other = await fieldgate("parked", "drop", "--yes", "--all", "--uplink", "x", config=gateway.config)
            dropped = await fieldgate("parked", "drop", "--yes", one["id"], config=gateway.config)
            await eventually("nothing is parked", lambda: is_parked(gateway, 0))
            ledger = (await gateway.status())["uplinks"]["up"]["ledger"]
            await eventually("nothing is listed", lambda: _is_empty(gateway))
            empty = await fieldgate("parked", "list", config=gateway.config)

    assert "\x1b" not in shown.out
    assert "1b 5b 32 4a 6e 6f ff 00" in shown.out
    assert (unsure.code, still) == (1, True)
    assert unknown.code == 1
    assert "no event '0-9' is parked" in unknown.err
    assert nothing.code == 2
    assert other.err == "nothing is parked\n"
    assert dropped.out == "1 event dropped for up\n"
    assert ledger == {"dropped": 1}
    assert empty.err == "nothing is parked\n"
