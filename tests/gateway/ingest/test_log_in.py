"""Who comes in at a listener with a users file, through real sockets; a fault in the file opens nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

import pytest

from access_kit import cheap_hash, knock, users_text, write_private
from fieldgate.config.listen import ListenConfig
from fieldgate.config.password_hash import PasswordHash
from fieldgate.ingest import gate as gate_module
from fieldgate.ingest.access_files import Access
from fieldgate.ingest.mqtt_listener import ListenError, MqttListener
from fieldgate.mqtt.codec import encode
from fieldgate.mqtt.local_broker import LocalBroker
from fieldgate.mqtt.packets import Connect, Disconnect, PubAck, Publish, Reason
from gateway_kit import eventually
from listener_kit import RawClient, SettlingIntake, on_both_loops, serving


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return write_private(tmp_path / "users", users_text(amy="apple", bob="banana"))


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_LOOK_EVERY_S", 0.0)


@pytest.mark.parametrize("version", [4, 5])
@on_both_loops
async def test_the_right_password_comes_in_and_the_wrong_one_does_not(users: Path, version: int) -> None:
    """MQTT 5 is told 0x86, 3.1.1 return code 4; an unknown user is told the same."""
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        right, _ = await knock(listener.port, "amy", "apple", version=version)
        again, _ = await knock(listener.port, "amy", "apple", client_id="d", version=version)
        wrong, client = await knock(listener.port, "amy", "banana", version=version)
        unknown, _ = await knock(listener.port, "eve", "apple", version=version)
        nothing, _ = await knock(listener.port, "amy", None, version=version)

        assert right == again == 0
        assert wrong == unknown == nothing == (Reason.BAD_USER_NAME_OR_PASSWORD if version == 5 else 4)
        assert await client.is_closed()
        await RawClient.close_all()  # the server waits for it
        await eventually("the refusals are counted", lambda: listener.ended["bad_login"] == 3)


@pytest.mark.parametrize(("version", "code"), [(4, 5), (5, Reason.NOT_AUTHORIZED)])
async def test_who_says_nothing_stays_out_unless_anonymous_clients_are_let_in(
    users: Path, version: int, code: int
) -> None:
    """mosquitto's `allow_anonymous false`; an `auth` section means it."""
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        assert (await knock(listener.port, version=version))[0] == code
    async with serving(SettlingIntake(), auth={"users": users, "anonymous": True}) as listener:
        assert (await knock(listener.port, version=version))[0] == 0
        assert (await knock(listener.port, "amy", "no", version=version))[0] in (4, 0x86)


@pytest.mark.parametrize(("password", "looked_at"), [("wrong", 6), ("apple", 1)])
async def test_many_log_ins_at_once_are_settled_by_the_first_of_them(
    users: Path, monkeypatch: pytest.MonkeyPatch, password: str, looked_at: int
) -> None:
    """Forty guesses in parallel are as many as one after the other allow; forty devices of one user are one hash."""
    looks, may_look = [], threading.Event()
    verify = PasswordHash.verify

    def looked(self: PasswordHash, tried: bytes) -> bool:
        assert may_look.wait(10)
        looks.append(tried)
        return verify(self, tried)

    monkeypatch.setattr(PasswordHash, "verify", looked)
    async with serving(SettlingIntake(), auth={"users": users}, connect_timeout=20) as listener:
        knocks = [asyncio.ensure_future(knock(listener.port, "amy", password, client_id=f"c{n}")) for n in range(40)]
        await eventually("all wait", lambda: listener.accepted == 40 and listener.gate._thread.waiting == 39)
        may_look.set()
        codes = Counter([code for code, _ in await asyncio.gather(*knocks)])

    assert looks == [password.encode()] * looked_at
    assert (
        codes
        == ({Reason.BAD_USER_NAME_OR_PASSWORD: 6, Reason.CONNECTION_RATE_EXCEEDED: 34}, {0: 40})[password == "apple"]
    )


async def test_packets_behind_the_connect_wait_for_the_verdict(users: Path) -> None:
    """[MQTT-3.1.4-6]: a client may send at once, and nothing of a refused one is looked at."""
    intake = SettlingIntake()
    async with serving(intake, auth={"users": users}) as listener:
        for password, heard in (("no", []), ("apple", [b"1", b"2"])):
            client = await RawClient.open(listener.port, version=5)
            connect = Connect("c", 5)
            connect.username, connect.password = "amy", password.encode()
            client.write(connect, Publish("t", b"1", 1, packet_id=1))
            client.write(Publish("t", b"2", 1, packet_id=2))

            assert await client.receive() is not None
            if heard:
                assert [await client.receive(), await client.receive()] == [PubAck(1), PubAck(2)]
            else:
                assert await client.is_closed()
            assert intake.payloads == heard


class SlowCheck:
    """Checks of amy's password stand still until `go_on` is set."""

    def __init__(self, listener: MqttListener) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        check = self

        class SlowHash(PasswordHash):
            def verify(self, password: bytes) -> bool:
                check.entered.set()
                check.go_on.wait(10)
                return PasswordHash.verify(self, password)

        amy = listener.gate.access.users["amy"]
        blank = amy.password
        slow = SlowHash(blank.cost_log2, blank.block_size, blank.parallel, blank.salt, blank.digest)
        listener.gate.access = Access(
            {**listener.gate.access.users, "amy": type(amy)("amy", slow, amy.where)},
            signatures=listener.gate.access.signatures,
        )


async def test_a_slow_hash_holds_up_nobody_who_is_in(users: Path) -> None:
    """The password is checked in a thread of its own; the loop goes on."""
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        _, inside = await knock(listener.port, "bob", "banana", client_id="bob")
        check = SlowCheck(listener)
        waiting = asyncio.ensure_future(knock(listener.port, "amy", "apple"))
        await eventually("the thread is at work", check.entered.is_set)

        inside.publish(1)
        assert await inside.receive() == PubAck(1)
        check.go_on.set()
        assert (await waiting)[0] == 0


async def test_who_is_removed_while_the_password_is_checked_does_not_come_in(users: Path) -> None:
    """The hash that it was compared with is not in the file any more when the answer comes."""
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        check = SlowCheck(listener)
        waiting = asyncio.ensure_future(knock(listener.port, "amy", "apple"))
        await eventually("the thread is at work", check.entered.is_set)

        known = listener.gate.access
        listener.gate.access = Access({"bob": known.users["bob"]}, signatures=known.signatures)
        check.go_on.set()

        assert (await waiting)[0] == Reason.BAD_USER_NAME_OR_PASSWORD


async def test_the_limits_hold_for_log_ins_that_are_checked_at_the_same_time(users: Path) -> None:
    """There was room for each of them when it knocked, and there is for one."""
    async with serving(SettlingIntake(), auth={"users": users}, max_clients=1) as listener:
        check = SlowCheck(listener)
        waiting = [asyncio.ensure_future(knock(listener.port, "amy", "apple", client_id=one)) for one in ("a", "b")]
        await eventually("the thread is at work, and one waits for it", lambda: listener.gate._thread.waiting == 1)

        check.go_on.set()

        assert sorted([(await one)[0] for one in waiting]) == [0, Reason.QUOTA_EXCEEDED]
        assert listener.refused == {"max_clients": 1}


async def test_an_unknown_user_costs_what_a_wrong_password_costs(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the time that the answer takes says who exists."""
    checked: list[tuple[int, int, int]] = []
    verify = PasswordHash.verify

    def noted(self: PasswordHash, password: bytes) -> bool:
        checked.append((self.cost_log2, self.block_size, self.parallel))
        return verify(self, password)

    monkeypatch.setattr(PasswordHash, "verify", noted)
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        await knock(listener.port, "amy", "banana")
        await knock(listener.port, "eve", "banana")

    assert len(checked) == 2
    assert checked[0] == checked[1]


async def test_the_connect_deadline_holds_while_a_password_is_being_checked(users: Path) -> None:
    """A queue of log-ins must not keep sockets for ever."""
    async with serving(SettlingIntake(), auth={"users": users}, connect_timeout=0.3) as listener:
        listener.gate.check = lambda *_, **__: True  # type: ignore[method-assign]  # it never answers
        client = await RawClient.open(listener.port, version=5)
        connect = Connect("c", 5)
        connect.username, connect.password = "amy", b"apple"
        client.writer.write(encode(connect, 5))

        assert await client.is_closed()
        await eventually("it is counted", lambda: listener.ended == {"connect_timeout": 1})


async def test_changes_of_the_users_file_count_at_once(users: Path) -> None:
    """Without a restart; who was removed or got another password is put out."""
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        _, amy = await knock(listener.port, "amy", "apple", client_id="amy")
        _, bob = await knock(listener.port, "bob", "banana", client_id="bob")
        kept = users.read_text(encoding="utf-8").splitlines()[1]
        write_private(users, f"{kept}\namy:{cheap_hash('avocado')}\ncem:{cheap_hash('cherry')}\n")

        goodbye = await amy.receive()
        assert isinstance(goodbye, Disconnect)
        assert goodbye.reason == Reason.NOT_AUTHORIZED
        assert await amy.is_closed()
        assert (await knock(listener.port, "amy", "apple"))[0] == Reason.BAD_USER_NAME_OR_PASSWORD
        assert (await knock(listener.port, "amy", "avocado"))[0] == 0
        assert (await knock(listener.port, "cem", "cherry", client_id="cem"))[0] == 0
        bob.publish(1)
        assert await bob.receive() == PubAck(1)


BROKEN = {
    "a bad line": lambda path: write_private(path, "amy\n"),
    "half a hash": lambda path: write_private(path, path.read_text(encoding="utf-8")[:-20]),
    "gone": lambda path: path.unlink(),
    "not readable": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("breaks", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_users_file_lets_nobody_new_in_and_puts_nobody_out(users: Path, breaks: object) -> None:
    """CVE-2018-12551: a malformed password file let everybody in. Whoever is in had shown who it is."""
    assert await lets_in_after(users, breaks) == (Reason.SERVER_UNAVAILABLE, Reason.SERVER_UNAVAILABLE)


async def test_a_gate_that_opens_on_a_broken_file_would_be_noticed(
    users: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: what cannot be read means that nobody is to be asked."""

    def fails_open(gate: gate_module.Gate, access: Access) -> None:
        if access.problems:
            gate.asks_passwords, gate.admits_anonymous = False, True
        gate.access = Access(access.users or gate.access.users, access.rules, (), access.signatures)

    monkeypatch.setattr(gate_module.Gate, "_take", fails_open)

    with pytest.raises(AssertionError):
        await test_a_broken_users_file_lets_nobody_new_in_and_puts_nobody_out(users, BROKEN["gone"])


async def lets_in_after(users: Path, breaks: object) -> tuple[int, int]:
    """What somebody with the right password is told, and somebody anonymous, when the file broke; it is mended then."""
    text = users.read_text(encoding="utf-8")
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        before = listener.gate.access.signatures
        _, inside = await knock(listener.port, "amy", "apple", client_id="inside")
        breaks(users)  # type: ignore[operator]
        await eventually("it was noticed", lambda: listener.gate.access.signatures != before)

        told = (await knock(listener.port, "amy", "apple"))[0], (await knock(listener.port))[0]
        inside.publish(1)
        assert await inside.receive() == PubAck(1)

        if users.is_dir():
            users.rmdir()
        write_private(users, text)
        await eventually("it was mended", lambda: not listener.gate.access.problems)
        assert (await knock(listener.port, "amy", "apple"))[0] == 0
    return told


async def test_a_file_that_is_broken_at_the_start_keeps_everybody_out(tmp_path: Path) -> None:
    """The gateway starts all the same: its other listeners, uplinks and rules are not to suffer."""
    async with serving(SettlingIntake(), auth={"users": tmp_path / "none"}) as listener:
        assert (await knock(listener.port, "amy", "apple"))[0] == Reason.SERVER_UNAVAILABLE
        assert listener.gate.access.problems == (
            f"{tmp_path}/none: the file cannot be read: no such file or directory",
        )


async def test_no_code_can_make_a_listener_that_others_can_reach_without_asking_them() -> None:
    """The rule holds where the port is opened, not only for files."""
    listener = MqttListener(ListenConfig(mqtt="0.0.0.0:0"), SettlingIntake(), LocalBroker())

    with pytest.raises(ListenError, match="devices are not asked who they are"):
        await listener.run()


async def test_anonymous_clients_never_come_in_from_elsewhere_whatever_a_name_stands_for(users: Path) -> None:
    """`localhost` in a strange hosts file, or a setting that a check would have refused."""
    auth = {"users": users, "anonymous": True}
    config = ListenConfig.model_validate({"mqtt": "0.0.0.0:0", "auth": auth})

    with pytest.raises(ListenError, match="devices are not asked who they are"):
        await MqttListener(config, SettlingIntake(), LocalBroker()).run()


async def test_a_client_id_of_another_user_is_not_taken_over(users: Path) -> None:
    """FAULTS 68: to end or to inherit another user's session would be to silence or to read it."""
    async with serving(SettlingIntake(), auth={"users": users, "anonymous": True}) as listener:
        _, amy = await knock(listener.port, "amy", "apple", client_id="pump")

        assert (await knock(listener.port, "bob", "banana", client_id="pump"))[0] == Reason.CLIENT_ID_NOT_VALID
        assert (await knock(listener.port, client_id="pump", version=4))[0] == 2
        amy.publish(1)
        assert await amy.receive() == PubAck(1)
        code, successor = await knock(listener.port, "amy", "apple", client_id="pump")
        assert code == 0
        assert await amy.is_closed()
        await successor.close()


async def test_what_nobody_in_particular_left_is_not_handed_to_a_user(users: Path) -> None:
    """A device that gets a user begins a new session; its anonymous one does not lock it out."""
    async with serving(SettlingIntake(), auth={"users": users, "anonymous": True}) as listener:
        _, old = await knock(listener.port, client_id="pump", version=4, clean=False)
        old.write(Disconnect())
        assert await old.is_closed()

        code, new = await knock(listener.port, "amy", "apple", client_id="pump", version=4, clean=False)

        assert code == 0
        assert not new.connack.session_present
        assert await new.is_closed(within_s=0.1) is False


async def test_a_password_never_reaches_the_log(
    users: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not of who comes in, nor of who does not."""
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        await knock(listener.port, "amy", "apple")
        await knock(listener.port, "bob", "not-the-banana")
        await eventually("it is counted", lambda: listener.ended["bad_login"])
    shown = caplog.text + "".join(capsys.readouterr())

    assert "amy" in shown
    assert "apple" not in shown
    assert "not-the-banana" not in shown
