"""Guessing passwords becomes slow, and nobody can use that to keep somebody else out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from access_kit import knock, users_text, write_private
from fieldgate.config.listen import ListenConfig
from fieldgate.ingest import login_throttle
from fieldgate.ingest.access_thread import AccessThread
from fieldgate.ingest.gate import Gate
from fieldgate.ingest.login_throttle import LoginThrottle
from fieldgate.mqtt.packets import Reason
from gateway_kit import eventually
from listener_kit import SettlingIntake, serving


def fail(throttle: LoginThrottle, count: int, *, address: str = "a", user: str = "amy", now_s: float = 0.0) -> None:
    for _ in range(count):
        throttle.failed(address, user, now_s)


def test_a_few_mistakes_cost_nothing_and_then_the_wait_doubles() -> None:
    throttle = LoginThrottle()
    fail(throttle, 5)
    assert throttle.refused_for_s("a", "amy", 0.0) == 0

    waits = []
    for _ in range(8):
        throttle.failed("a", "amy", 0.0)
        waits.append(throttle.refused_for_s("a", "amy", 0.0))

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert throttle.refused_for_s("a", "amy", 59.0) == 1
    assert throttle.refused_for_s("a", "amy", 60.0) == 0


def test_failures_fade() -> None:
    """A device that had an old password once a day is not punished in a year."""
    throttle = LoginThrottle()
    for day in range(100):
        throttle.failed("a", "amy", day * 86_400.0)

    assert throttle.refused_for_s("a", "amy", 100 * 86_400.0) == 0


def test_the_right_password_clears_the_pair() -> None:
    throttle = LoginThrottle()
    fail(throttle, 5)
    throttle.succeeded("a", "amy")
    fail(throttle, 5)

    assert throttle.refused_for_s("a", "amy", 0.0) == 0


def test_an_address_that_tries_many_users_is_slowed_down_for_all_of_them() -> None:
    throttle = LoginThrottle()
    for number in range(40):
        throttle.failed("a", f"user{number}", 0.0)

    assert throttle.refused_for_s("a", "amy", 0.0) > 60 - 1
    assert throttle.refused_for_s("b", "amy", 0.0) == 0


def test_a_user_that_many_places_try_is_never_refused_elsewhere() -> None:
    """Else anybody could lock a device out by guessing at its name."""
    throttle = LoginThrottle()
    for number in range(5_000):
        throttle.failed(f"address{number}", "amy", 0.0)

    assert throttle.refused_for_s("home", "amy", 0.0) == 0
    assert 0 < throttle.pause_s("home", "amy", 0.0) <= 2
    throttle.succeeded("home", "amy")
    assert throttle.pause_s("home", "amy", 0.0) == 0


def test_neighbours_behind_one_address_do_not_pay_for_each_other() -> None:
    """A router with fifty devices, one of them with an old password."""
    throttle = LoginThrottle()
    throttle.succeeded("router", "bob")
    for number in range(100):
        throttle.failed("router", f"user{number}", 0.0)

    assert throttle.refused_for_s("router", "bob", 0.0) == 0
    assert throttle.refused_for_s("router", "amy", 0.0) > 0


def test_a_device_with_an_old_password_that_never_gives_up_does_not_block_its_address() -> None:
    """It is refused by itself, and a refusal is no failure of the address."""
    throttle = LoginThrottle()
    now_s = 0.0
    for _ in range(20_000):
        now_s += 0.5
        if throttle.refused_for_s("router", "old", now_s) == 0:
            throttle.failed("router", "old", now_s)

    assert throttle.refused_for_s("router", "new-device", now_s) == 0


def test_memory_is_bounded() -> None:
    """Whoever makes up users or has many addresses costs a fixed amount."""
    throttle = LoginThrottle()
    for number in range(10_000):
        throttle.failed(f"a{number}", f"u{number}", 0.0)
        throttle.succeeded(f"a{number}", f"u{number}")
    for number in range(10_000):
        throttle.failed(f"a{number}", f"u{number}", 0.0)

    kept = (throttle._pairs, throttle._addresses, throttle._users, throttle._familiar)
    assert [len(one) for one in kept] == [4096] * 4


@pytest.fixture
def users(tmp_path: Path) -> Path:
    return write_private(tmp_path / "users", users_text(amy="apple", bob="banana"))


async def guessed(users: Path) -> list[int]:
    """What somebody is told who guesses ten times."""
    async with serving(SettlingIntake(), auth={"users": users}) as listener:
        codes = [(await knock(listener.port, "amy", f"guess{one}"))[0] for one in range(10)]
        elsewhere = await knock(listener.port, "amy", "apple", local_address="127.0.0.2")
        neighbour = await knock(listener.port, "bob", "banana", client_id="bob")
        in_3_1_1 = await knock(listener.port, "amy", "apple", version=4)

        assert elsewhere[0] == neighbour[0] == 0, "the legitimate user from another address, another user from this one"
        if codes[-1] != Reason.BAD_USER_NAME_OR_PASSWORD:
            assert in_3_1_1[0] == 3
            await eventually("it is counted", lambda: listener.ended["throttled"] == 5)
        wrong = codes.count(Reason.BAD_USER_NAME_OR_PASSWORD)
        await eventually("each is counted", lambda: listener.ended["bad_login"] == wrong)
    return codes


async def test_guessing_is_refused_without_a_look_at_the_password(users: Path) -> None:
    """0x9F; the right password is refused like any other, or a refusal would be an answer."""
    assert await guessed(users) == [Reason.BAD_USER_NAME_OR_PASSWORD] * 6 + [Reason.CONNECTION_RATE_EXCEEDED] * 4


async def test_a_gate_without_a_throttle_would_be_noticed(users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant."""
    monkeypatch.setattr(login_throttle.LoginThrottle, "refused_for_s", lambda *_: 0.0)

    assert await guessed(users) == [Reason.BAD_USER_NAME_OR_PASSWORD] * 10


async def test_the_log_in_of_a_user_under_attack_waits_a_moment_and_comes_in(users: Path) -> None:
    """From an address where it was never seen; from its own it does not even wait."""
    async with serving(SettlingIntake(), auth={"users": users}, connect_timeout=2) as listener:
        assert (await knock(listener.port, "amy", "apple", local_address="127.0.0.3"))[0] == 0
        for number in range(100):
            listener.gate.throttle.failed(f"10.0.0.{number}", "amy", 1e12)
        loop = asyncio.get_running_loop()

        times = []
        for address in ("127.0.0.2", "127.0.0.3"):
            begun_s = loop.time()
            assert (await knock(listener.port, "amy", "apple", local_address=address))[0] == 0
            times.append(loop.time() - begun_s)

        assert times[0] >= 0.5  # a quarter of the connect timeout at most
        assert times[1] < times[0]


async def test_the_log_ins_of_one_address_that_wait_a_moment_are_bounded() -> None:
    """Each holds a connection; who sends many makes its own wait no longer, and nobody else's."""
    gate = Gate(ListenConfig(), name="l", is_full=lambda _address, _client_id: "")
    gone_on: list[str] = []

    said = [gate.pause("many", 0.01, lambda: gone_on.append("many")) for _ in range(20)]

    assert said == [True] * 16 + [False] * 4
    assert gate.pause("one", 0.01, lambda: gone_on.append("one"))
    await eventually("they go on", lambda: len(gone_on) == 17)
    assert gate.pause("many", 0.0, lambda: None)


async def test_addresses_take_turns_at_the_thread() -> None:
    """Whoever sends a hundred log-ins at once waits for itself."""
    order: list[str] = []
    thread = AccessThread("test", asyncio.get_running_loop())
    for number in range(5):
        thread.submit(lambda: None, lambda _, number=number: order.append(f"many{number}"), address="many")
    thread.submit(lambda: None, lambda _: order.append("one"), address="one")
    thread.submit(lambda: None, lambda _: order.append("gone"), address="gone", is_wanted=lambda: False)

    await eventually("all are done", lambda: len(order) == 6)

    assert order[:3] == ["many0", "one", "many1"] or order[:3] == ["many0", "many1", "one"]
    assert order[-1] == "many4"
    thread.close()


async def test_the_queue_for_the_thread_is_bounded_and_one_address_has_half_of_it() -> None:
    thread = AccessThread("test", asyncio.get_running_loop())
    for _ in range(129):
        thread.submit(lambda: None, lambda _: None, address="many")

    assert thread.is_full("many")
    assert not thread.is_full("other")
    for number in range(128):
        thread.submit(lambda: None, lambda _: None, address=f"a{number}")
    assert thread.is_full("other")
    thread.close()


async def test_a_closed_thread_takes_nothing_and_answers_nobody() -> None:
    """A log-in that was put off may come when the listener has ended already."""
    answered: list[None] = []
    thread = AccessThread("test", asyncio.get_running_loop())
    thread.submit(lambda: None, answered.append)
    thread.close()

    thread.submit(lambda: None, answered.append)
    for _ in range(5):
        await asyncio.sleep(0)

    assert thread.is_full("anybody")
    assert answered == []
