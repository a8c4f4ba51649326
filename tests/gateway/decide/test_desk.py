"""The desk of commands: recorded before it is carried out, once per id, in order per device, bounded, and in time."""

from __future__ import annotations

import pytest

from desk_world import NS, WALL_S, World
from fieldgate.decide.desk_contract import DeskLimits
from fieldgate.decide.orders import Status


@pytest.fixture
def world() -> World:
    return World()


def test_a_command_is_carried_out_once_its_start_is_on_disk_and_answered_once_its_answer_is(world: World) -> None:
    """Else a crash in between would carry it out twice, or forget what it had said."""
    world.submit("a")
    assert world.devices.executed == []

    world.write()
    world.report("a")
    told_before = world.caller.statuses("a")
    world.write()

    assert world.devices.executed == ["a"]
    assert told_before == []
    assert world.caller.statuses("a") == [Status.DONE]
    assert world.caller.settled_ids == ["a"]
    assert world.told == [("a", Status.DONE)]


def test_all_that_wait_for_the_disk_go_in_one_transaction(world: World) -> None:
    """A fsync each would cost more than the commands."""
    for number in range(50):
        world.submit(f"a{number}", device=f"d{number}")

    assert world.take()
    assert world.pending is not None
    assert len(world.pending.rows) == 50
    world.land()
    world.hear_of_it()
    assert len(world.devices.executed) == 50


def test_the_same_id_is_carried_out_once_and_answered_each_time(world: World) -> None:
    """A broker sends again what was not acknowledged in time."""
    world.submit("a")
    world.submit("a")
    world.write()
    world.submit("a")
    world.report("a")
    world.write()
    world.submit("a")

    assert world.devices.executed == ["a"]
    assert world.caller.statuses("a") == [Status.DONE] * 4
    assert world.caller.settled_ids == ["a"] * 4
    assert len(world.rows()) == 1


def test_the_same_id_of_another_origin_is_another_command(world: World) -> None:
    world.submit("a")
    world.submit("a", device="e", origin="uplink:cloud")
    world.write()

    assert world.devices.executed == ["a", "a"]


def test_an_id_that_comes_with_another_content_is_refused_and_the_first_goes_on(world: World) -> None:
    """Whoever makes ids by counting from 1 at each start must hear of it."""
    world.submit("a", arguments={"target": 1})
    world.submit("a", arguments={"target": 2})
    world.write()
    refused = world.caller.last("a")
    world.report("a")
    world.write()
    world.submit("a", arguments={"target": 1})

    assert refused == (Status.REFUSED, "the id 'a' was given to another command before")
    assert world.devices.executed == ["a"]
    assert world.caller.last("a") == (Status.DONE, "")


def test_one_device_gets_one_at_a_time_in_order_and_others_do_not_wait(world: World) -> None:
    """Open, then close, must not end open; and a slow device must not hold up the house."""
    world.submit("a")
    world.submit("b")
    world.submit("c", device="e")
    world.write()
    before = list(world.devices.executed)
    world.report("a", Status.TIMEOUT)
    world.write()

    assert before == ["a", "c"]
    assert world.devices.executed == ["a", "c", "b"]


def test_a_command_that_waits_for_a_device_that_is_away_does_not_keep_the_next_one(world: World) -> None:
    """The session keeps them in order."""
    world.submit("a")
    world.submit("b")
    world.write()
    world.report("a", Status.ACCEPTED, "away")
    world.write()
    accepted = (world.caller.statuses("a"), list(world.caller.settled_ids), list(world.devices.executed))
    world.report("a")
    world.write()

    assert accepted == ([Status.ACCEPTED], ["a"], ["a", "b"])
    assert world.caller.statuses("a") == [Status.ACCEPTED, Status.DONE]
    assert world.caller.settled_ids == ["a"]


def test_what_is_refused_says_why_and_leaves_its_trace(world: World) -> None:
    world.unknown_devices.add("x")
    world.submit("a", device="x")
    world.write()

    assert world.caller.last("a") == (Status.REFUSED, "no device 'x' is known")
    assert world.caller.settled_ids == ["a"]
    assert [row.order.id for row in world.rows()] == ["a"]
    assert world.devices.executed == []


def test_queues_are_bounded_per_device_and_in_all() -> None:
    world = World(limits=DeskLimits(max_of_device=2, max_open=4))
    for name, device in (("a", "d"), ("b", "d"), ("c", "d"), ("e", "e"), ("f", "f"), ("g", "g")):
        world.submit(name, device=device)
        world.write()

    assert world.caller.last("c") == (Status.REFUSED, "too many commands: 2 wait for 'd' already")
    assert world.caller.last("g") == (Status.REFUSED, "too many commands: 4 are under way")
    assert world.devices.executed == ["a", "e", "f"]


@pytest.mark.parametrize(
    ("more", "stale"),
    [
        ({}, False),
        ({"max_age_s": 5.0}, False),
        ({"received_boot_ns": round(930 * NS)}, True),  # 70 s in a queue of ours
        ({"made_at_ns": round((WALL_S + 1000 - 61) * NS)}, True),
        ({"made_at_ns": round((WALL_S + 1000 - 59) * NS)}, False),
        ({"made_at_ns": round((WALL_S + 1000 - 61) * NS), "max_age_s": 120.0}, False),
        (
            {"made_at_ns": round((WALL_S + 1000 + 500) * NS)},
            False,
        ),  # a clock that is ahead gains nothing, loses nothing
        ({"max_age_s": 0.0}, True),
    ],
)
def test_an_old_command_is_refused_as_stale(world: World, more: dict[str, float], stale: bool) -> None:
    """After an outage the door must not open an hour late."""
    world.submit("a", **more)
    world.write()

    assert (world.devices.executed == []) is stale
    if stale:
        assert world.caller.last("a")[1].startswith("stale: it was ")


def test_a_senders_time_says_nothing_while_the_clock_is_not_set(world: World) -> None:
    world.is_synced = False
    world.submit("a", made_at_ns=1)
    world.write()

    assert world.devices.executed == ["a"]


def test_a_profile_may_allow_less_than_a_sender_asks_for(world: World) -> None:
    world.profile_max_age_s = 2.0
    world.submit("a", max_age_s=600.0, received_boot_ns=round((world.now_s - 3) * NS))
    world.write()

    assert world.caller.last("a")[0] is Status.REFUSED


def test_what_grows_too_old_in_the_queue_is_refused(world: World) -> None:
    world.submit("a", max_age_s=100.0)
    world.submit("b", max_age_s=5.0)
    world.write()
    world.now_s += 6
    world.desk.tick()
    world.write()

    assert world.caller.last("b") == (Status.REFUSED, "stale: it was received 6.0 s ago")
    assert world.devices.executed == ["a"]


def test_a_device_that_does_not_answer_is_given_up_and_asked_nothing_more(world: World) -> None:
    world.submit("a")
    world.write()
    world.now_s += 10
    world.desk.tick()
    world.report("a")  # too late
    world.write()

    assert world.caller.statuses("a") == [Status.TIMEOUT]
    assert world.caller.last("a")[1] == "the device did not confirm it in time"
    assert world.devices.cancelled == ["a"]


def test_an_accepted_command_is_given_up_when_it_is_too_old(world: World) -> None:
    """What never left is known not to have been carried out: that is a refusal, and no doubt."""
    world.submit("a")
    world.write()
    world.report("a", Status.ACCEPTED)
    world.write()
    world.devices.is_sent = False
    world.now_s += 30
    world.desk.tick()
    cancelled_early = list(world.devices.cancelled)
    world.now_s += 31
    world.desk.tick()
    world.write()

    assert cancelled_early == []
    assert world.caller.last("a") == (Status.REFUSED, "the device did not come for it in time; it was not sent")


def test_a_command_that_cannot_be_recorded_is_refused_and_not_carried_out(world: World) -> None:
    """Carried out without a record, a crash would carry it out again."""
    world.submit("a")
    world.write("disk full")
    world.submit("b")

    assert world.devices.executed == []
    assert world.caller.last("a") == (
        Status.REFUSED, "it cannot be recorded, so it was not carried out: disk full"
    )  # fmt: skip
    assert world.caller.last("b") == (Status.REFUSED, "no command can be recorded: disk full")
    assert world.caller.settled_ids == ["a", "b"]

    world.write()
    world.submit("c")
    world.write()
    assert world.devices.executed == ["c"]
    assert [row.order.id for row in world.rows()] == ["a", "c"]


def test_what_is_under_way_when_the_disk_fails_is_answered_all_the_same(world: World) -> None:
    world.submit("a")
    world.write()
    world.report("a")
    world.write("disk full")

    assert world.caller.statuses("a") == [Status.DONE]
