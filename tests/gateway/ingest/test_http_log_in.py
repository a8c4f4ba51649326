"""Who may send to an HTTP listener: passwords, tokens, certificates and the ACL, through real sockets."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from access_kit import cheap_hash, users_text, write_private
from fieldgate.config.listen import ListenConfig
from fieldgate.ingest import gate as gate_module
from fieldgate.ingest.http_listener import HttpListener
from fieldgate.ingest.listen_sockets import ListenError
from fieldgate.mqtt.local_broker import LocalBroker
from gateway_kit import eventually
from http_kit import HttpClient, basic, post, serving_http
from listener_kit import HeldIntake, SettlingIntake, on_both_loops
from tls_kit import Authority

TOKEN = "0123456789abcdef-roof"
ACL = """\
all_users:
  - {allow: publish, topic: "http/own/%u/#"}
anonymous:
  - {allow: publish, topic: "http/public/#"}
"""


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return write_private(tmp_path / "users", users_text(amy="apple", bob="ba:na"))


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_LOOK_EVERY_S", 0.0)


@on_both_loops
async def test_the_right_password_sends_and_anything_else_does_not(users: Path) -> None:
    """An unknown user is told what a wrong password is told; nothing of the body is looked at before."""
    intake = SettlingIntake()
    async with serving_http(intake, auth={"users": users}) as listener:
        client = await HttpClient.open(listener.port)
        answers = [
            await client.ask(post("/a", b"x", *headers))
            for headers in (
                (),
                (basic("amy", "pear"),),
                (basic("eve", "apple"),),
                ("Authorization: Digest x",),
                ("Authorization: Basic !",),
                ("Authorization: Basic YW15",),
                ("Authorization: Bearer",),
            )
        ]
        right = await client.ask(post("/a", b"amy", basic("amy", "apple")))
        colon = await client.ask(post("/a", b"bob", basic("bob", "ba:na")))
        later = await client.ask(post("/a", b"x"))

    assert [answer.status for answer in answers] == [401] * 7
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Basic realm="fieldgate", charset="UTF-8"'}
    assert [answer.error for answer in answers] == [
        "not_logged_in", "bad_login", "bad_login", *["not_logged_in"] * 4,
    ]  # fmt: skip
    assert (right.status, colon.status) == (204, 204)
    assert later.status == 401  # each request is asked, not only the first of a connection
    assert intake.payloads == [b"amy", b"bob"]


async def test_a_large_body_is_not_asked_for_before_its_sender_is_known(users: Path) -> None:
    """100 Continue is a promise to read; a stranger gets none."""
    async with serving_http(SettlingIntake(), auth={"users": users}) as listener:
        client = await HttpClient.open(listener.port)
        answer = await client.ask(post("/a", b"", "Expect: 100-continue", length=100_000))

        assert answer.status == 401
        assert await client.is_closed()


async def test_what_comes_while_a_password_is_checked_waits(users: Path) -> None:
    """The check is made in a thread; others are served, and the requests behind it keep their order."""
    intake = SettlingIntake()
    go_on = threading.Event()
    async with serving_http(intake, auth={"users": users, "anonymous": True}) as listener:
        check = listener.gate.check

        def slow(*arguments: object, **more: object) -> bool:
            thread = listener.gate._thread
            assert thread is not None
            thread.submit(lambda: go_on.wait(10), lambda _: None)
            return check(*arguments, **more)  # type: ignore[arg-type]

        listener.gate.check = slow  # type: ignore[method-assign]
        client = await HttpClient.open(listener.port)
        client.send(post("/1", b"1", basic("amy", "apple")), post("/2", b"2", basic("amy", "apple")))
        other = await HttpClient.open(listener.port)
        assert (await other.ask(post("/other", b"other"))).status == 204
        assert intake.payloads == [b"other"]
        go_on.set()

        assert [(await client.answer()).status for _ in range(2)] == [204, 204]
        assert intake.payloads == [b"other", b"1", b"2"]


async def test_the_acl_says_who_may_send_to_what(users: Path, tmp_path: Path) -> None:
    """A request publishes to its topic: 403 where the ACL denies, as 0x87 over MQTT 5."""
    acl = write_private(tmp_path / "acl.yaml", ACL)
    intake = SettlingIntake()
    auth = {"users": users, "acl": acl, "anonymous": True, "tokens": {"roof": TOKEN}}
    async with serving_http(intake, auth=auth) as listener:
        client = await HttpClient.open(listener.port)
        asked = [
            ("/own/amy/t", basic("amy", "apple"), 204),
            ("/own/bob/t", basic("amy", "apple"), 403),
            ("/public/t", "X: y", 204),
            ("/own/amy/t", "X: y", 403),
            (f"/{TOKEN}/own/roof/t", "X: y", 204),
            (f"/{TOKEN}/own/amy/t", "X: y", 403),
        ]
        got = [(await client.ask(post(path, b"x", header))).status for path, header, _ in asked]

        assert got == [status for *_, status in asked]
        assert [one.topic for one in intake.heard] == ["http/own/amy/t", "http/public/t", "http/own/roof/t"]
        assert listener.tally.refused == {"not_authorized": 3}


async def test_a_token_in_the_path_is_its_user_and_leaves_the_path(caplog: pytest.LogCaptureFixture) -> None:
    """Ecowitt's consoles can be told a path and nothing else; the token is part of no topic."""
    intake = SettlingIntake()
    async with serving_http(intake, auth={"tokens": {"roof": TOKEN}}) as listener:
        client = await HttpClient.open(listener.port)
        answers = [
            await client.ask(post(f"/{TOKEN}/data/report/")),
            await client.ask(post(f"{TOKEN}/data/report")),
            await client.ask(post("/data/report", b"x", f"Authorization: Bearer {TOKEN}")),
            await client.ask(post("/data/report")),
            await client.ask(post(f"/{TOKEN}x/data/report")),
            await client.ask(post("/data/report", b"x", "Authorization: Bearer 0123456789abcdef")),
            await client.ask(post(f"/data/{TOKEN}")),
        ]

    assert [answer.status for answer in answers] == [204, 204, 204, 401, 401, 401, 401]
    assert [one.topic for one in intake.heard] == ["http/data/report"] * 3
    assert all(TOKEN.encode() not in answer.body for answer in answers)


async def test_a_token_in_the_path_is_one_whatever_else_is_said(users: Path) -> None:
    """Else it would go upstream as a level of the topic."""
    intake = SettlingIntake()
    async with serving_http(intake, auth={"users": users, "tokens": {"roof": TOKEN}, "anonymous": True}) as listener:
        client = await HttpClient.open(listener.port)
        for header in (basic("amy", "apple"), basic("amy", "wrong"), f"Authorization: Bearer {TOKEN}", "X: y"):
            assert (await client.ask(post(f"/{TOKEN}/data", b"x", header))).status == 204

    assert {one.topic for one in intake.heard} == {"http/data"}


async def test_a_token_is_never_written_anywhere(capsys: pytest.CaptureFixture[str], users: Path) -> None:
    """Not in the log, whatever goes wrong with its request, and not in what the objects say of themselves."""
    auth = {"tokens": {"roof": TOKEN}, "users": users}
    async with serving_http(SettlingIntake(), auth=auth, connect_timeout=0.3) as listener:
        for request in (
            post(f"/{TOKEN}x/data"),
            post(f"/{TOKEN}/data/+"),
            post(f"/{TOKEN}/data", b"", length=10**9),
            post(f"/{TOKEN}/data", b"x", "Authorization: Bearer " + TOKEN + "y"),
            f"POST /{TOKEN} HTTP/1.1\r\n\x00: {TOKEN}\r\n\r\n".encode(),
            f"POST /{TOKEN}".encode(),
        ):
            client = await HttpClient.open(listener.port)
            client.send(request)
            await client.is_closed(within_s=1)
            await client.close()
        await eventually("all are gone", lambda: not listener.connections)

    said = capsys.readouterr()
    assert "client.not_admitted" in said.out
    assert TOKEN not in said.out + said.err
    assert TOKEN not in repr(ListenConfig.model_validate({"http": "127.0.0.1:1", "auth": auth}))


async def test_guessing_at_passwords_and_tokens_is_slowed_down(users: Path) -> None:
    """FAULTS 84: six at once, then 429 with the time to wait; who logged in from there before still may."""
    async with serving_http(SettlingIntake(), auth={"users": users, "tokens": {"roof": TOKEN}}) as listener:
        client = await HttpClient.open(listener.port)
        passwords = [await client.ask(post("/a", b"x", basic("amy", "no"))) for _ in range(8)]
        assert [one.status for one in passwords] == [401] * 6 + [429] * 2
        assert int(passwords[-1].headers["retry-after"]) >= 1
        assert (await client.ask(post("/a", b"x", basic("amy", "apple")))).status == 429
        assert (await client.ask(post("/a", b"x", basic("bob", "ba:na")))).status == 204

        tokens = [await client.ask(post(f"/{n:032}/a")) for n in range(8)]
        assert [one.status for one in tokens] == [401] * 6 + [429] * 2
        assert (await client.ask(post(f"/{TOKEN}/a"))).status == 204


async def test_an_ordinary_path_is_no_guess_at_a_token(users: Path) -> None:
    """Clients that send their password only when asked for it would be locked out."""
    async with serving_http(SettlingIntake(), auth={"users": users, "tokens": {"roof": TOKEN}}) as listener:
        client = await HttpClient.open(listener.port)
        assert [(await client.ask(post("/data/report"))).status for _ in range(20)] == [401] * 20
        assert (await client.ask(post("/data/report", b"x", basic("amy", "apple")))).status == 204


async def test_changes_of_users_and_rules_count_for_connections_that_stand(users: Path, tmp_path: Path) -> None:
    """A connection may live for days; who was removed is out with the next request."""
    acl = write_private(tmp_path / "acl.yaml", ACL)
    async with serving_http(SettlingIntake(), auth={"users": users, "acl": acl}) as listener:
        client = await HttpClient.open(listener.port)
        asked = post("/own/amy/t", b"x", basic("amy", "apple"))
        assert (await client.ask(asked)).status == 204

        before = listener.gate.access.signatures
        write_private(acl, ACL + "users:\n  amy:\n    - {deny: publish, topic: 'http/own/amy/t'}\n")
        await eventually("the rules are read", lambda: listener.gate.access.signatures != before)
        assert (await client.ask(asked)).status == 403

        before = listener.gate.access.signatures
        write_private(users, f"amy:{cheap_hash('avocado')}\n")
        await eventually("the users are read", lambda: listener.gate.access.signatures != before)
        assert (await client.ask(asked)).status == 401


async def test_a_broken_users_file_lets_nobody_new_in(users: Path) -> None:
    """CVE-2018-12551: fail closed; a sender is told to come again."""
    async with serving_http(SettlingIntake(), auth={"users": users, "tokens": {"roof": TOKEN}}) as listener:
        inside = await HttpClient.open(listener.port)
        asked = post("/a", b"x", basic("amy", "apple"))
        assert (await inside.ask(asked)).status == 204
        users.write_text("amy\n", encoding="utf-8")
        await eventually("it was noticed", lambda: listener.gate.access.problems)

        fresh = await HttpClient.open(listener.port)
        assert (await fresh.ask(asked)).status == 503
        assert (await fresh.ask(post(f"/{TOKEN}/a"))).status == 503
        assert (await inside.ask(asked)).status == 204


@on_both_loops
async def test_tls_and_a_certificate_that_names_its_user(tmp_path: Path) -> None:
    """The same certificates as over MQTT; a name in a header means nothing beside them."""
    authority = Authority()
    tls = authority.write_server(tmp_path) | {"client_ca": authority.write_ca(tmp_path / "ca.pem")}
    acl = write_private(tmp_path / "acl.yaml", ACL)
    intake = HeldIntake()
    async with serving_http(intake, tls=tls, auth={"acl": acl}) as listener:
        context = authority.client_context(authority.write_client(tmp_path, "pump-7"))
        client = await HttpClient.open(listener.port, context=context)
        client.send(post("/own/pump-7/t", b"y" * 200_000, basic("amy", "apple")), post("/own/amy/t"))
        await eventually("it is heard", lambda: intake.heard)
        assert await client.is_quiet()
        intake.settle(0)

        assert [(await client.answer()).status for _ in range(2)] == [204, 403]
        assert intake.payloads == [b"y" * 200_000]
        assert listener.transport == "http with TLS"


async def test_plain_http_to_a_tls_port_is_ended(tmp_path: Path) -> None:
    """A mistake of an integrator; it must not hang."""
    async with serving_http(SettlingIntake(), tls=Authority().write_server(tmp_path)) as listener:
        client = await HttpClient.open(listener.port)
        client.send(post())

        assert await client.is_closed()
        await eventually("it is counted", lambda: listener.ended["tls_failed"] == 1)


async def test_no_code_can_make_a_listener_that_others_can_reach_without_asking_them() -> None:
    """The rule holds where the port is opened, not only for files."""
    listener = HttpListener(ListenConfig(http="0.0.0.0:0"), SettlingIntake(), LocalBroker())
    with pytest.raises(ListenError, match="not asked who they are"):
        await asyncio.wait_for(listener.run(), 20)
