"""The desk of commands over crashes and restarts, and what its record keeps."""

from __future__ import annotations

import pytest

from desk_world import World
from fieldgate.decide.order_book import Bounds
from fieldgate.decide.orders import Answer, Status


@pytest.fixture
def world() -> World:
    return World()


def test_after_a_crash_what_was_started_is_unknown_and_never_repeated(world: World) -> None:
    """It may have been carried out: whoever gave it must look, and decide."""
    world.submit("a")
    world.write()
    world.crash()
    world.desk.join("cli", world.caller)
    world.write()
    world.submit("a")

    assert world.devices.executed == ["a"]
    assert world.caller.statuses("a") == [Status.UNKNOWN, Status.UNKNOWN]
    assert world.told == [("a", Status.UNKNOWN)]


def test_after_a_crash_what_was_not_started_goes_on_while_it_is_young(world: World) -> None:
    world.submit("a")
    world.submit("b", max_age_s=30.0)
    world.submit("c", max_age_s=5.0)
    world.write()
    world.now_s += 10
    world.crash()
    world.desk.join("cli", world.caller)
    world.write()

    assert world.devices.executed == ["a", "b"]
    assert world.caller.last("a")[0] is Status.UNKNOWN
    assert world.caller.last("c")[1].startswith("stale: ")


def test_after_a_crash_a_device_may_take_a_moment_to_be_back(world: World) -> None:
    """It has lost its connection, too."""
    world.submit("a")
    world.submit("b")
    world.write()
    world.devices.absent = "nobody is subscribed"
    world.crash()
    world.write()
    world.desk.tick()
    world.write()
    before = list(world.devices.executed)
    world.devices.absent = ""
    world.desk.tick()
    world.write()

    assert before == ["a"]
    assert world.devices.executed == ["a", "b"]


def test_right_after_the_start_a_command_waits_a_moment_for_its_device(world: World) -> None:
    """Whoever restarts the gateway and tells a device something at once means the device, not its reconnecting."""
    world.devices.absent = "nobody is subscribed"
    world.submit("a")
    world.submit("b", device="e")
    world.write()
    waiting = (list(world.caller.answers), list(world.devices.executed))
    world.now_s += 3
    world.devices.absent = ""
    world.desk.tick()
    world.write()

    assert waiting == ([], [])
    assert world.devices.executed == ["a", "b"]


def test_a_device_that_is_not_there_a_while_after_the_start_is_not_waited_for(world: World) -> None:
    """Neither by what came in the first moment, nor by what comes later."""
    world.devices.absent = "nobody is subscribed"
    world.submit("a")
    world.submit("b", device="e", max_age_s=2.0)
    world.write()
    for _ in range(10):
        world.now_s += 1
        world.desk.tick()
    world.submit("c", device="f")
    world.write()

    assert world.caller.last("a") == (Status.REFUSED, "nobody is subscribed")
    assert world.caller.last("b")[1].startswith("stale: ")
    assert world.caller.last("c") == (Status.REFUSED, "nobody is subscribed")
    assert world.desk.open_count == 0


def test_a_device_that_does_not_come_back_is_given_up_when_the_command_is_too_old(world: World) -> None:
    world.submit("a")
    world.submit("b")
    world.write()
    world.devices.absent = "nobody is subscribed"
    world.crash()
    world.desk.join("cli", world.caller)
    world.write()
    world.now_s += 61
    world.desk.tick()
    world.write()

    assert world.caller.last("b")[0] is Status.REFUSED
    assert world.desk.open_count == 0


@pytest.mark.parametrize(("is_synced", "slept_s", "goes_on"), [(True, 10, True), (True, 70, False), (False, 10, False)])
def test_over_a_restart_of_the_os_only_a_clock_that_is_set_tells_the_age(
    world: World, is_synced: bool, slept_s: float, goes_on: bool
) -> None:
    """Boot time begins anew; what cannot be known to be young is too old."""
    world.submit("a")
    world.submit("b")
    world.write()
    world.os_boot = "boot-2"
    world.wall_ahead_s += 900 + slept_s
    world.now_s = 100.0
    world.is_synced = is_synced
    world.crash()
    world.write()

    assert (world.devices.executed == ["a", "b"]) is goes_on


def test_a_command_that_waits_in_a_session_goes_on_after_a_crash(world: World) -> None:
    world.submit("a")
    world.write()
    world.report("a", Status.ACCEPTED)
    world.write()
    world.devices.kept.add(world.rows()[0].mark)
    world.crash()
    world.desk.join("cli", world.caller)
    world.report("a")
    world.write()

    assert world.caller.statuses("a") == [Status.DONE]
    assert world.devices.executed == ["a"]


def test_one_that_waits_in_a_session_no_more_is_unknown_after_a_crash(world: World) -> None:
    world.submit("a")
    world.write()
    world.report("a", Status.ACCEPTED)
    world.write()
    world.crash()
    world.desk.join("cli", world.caller)
    world.write()

    assert world.caller.statuses("a") == [Status.UNKNOWN]


def test_answers_that_were_not_told_come_again_after_a_restart_and_told_ones_do_not(world: World) -> None:
    world.submit("a", origin="uplink:cloud")
    world.submit("b", device="e", origin="uplink:cloud")
    world.write()
    world.report("a")
    world.report("b")
    world.write()
    order = world.order("a", origin="uplink:cloud")
    world.desk.told(order, world.caller.answers["a"][-1])
    world.submit("c", device="f")  # what was told is written with the next one
    world.write()
    world.crash()
    world.desk.join("uplink:cloud", world.caller)

    assert world.caller.answers.keys() == {"b"}
    assert world.caller.settled_ids == []


def test_ids_are_forgotten_only_when_their_commands_are_too_old_to_be_carried_out() -> None:
    """A flood of commands must not make room for a repeated one."""
    world = World(bounds=Bounds(max_rows=3, max_bytes=1 << 20))
    for number in range(3):
        world.submit(f"a{number}", device=f"d{number}")
        world.write()
        world.report(f"a{number}")
    world.write()
    world.submit("b")
    refused = world.caller.last("b")
    world.now_s += 60 + 61
    world.submit("c")
    world.write()

    assert refused[0] is Status.REFUSED
    assert refused[1].startswith("too many commands: the record holds 3")
    assert world.devices.executed[-1] == "c"
    assert [row.order.id for row in world.rows()] == ["a1", "a2", "c"]
    assert len(world.disk) == 3


def test_an_answer_whose_event_was_not_safe_at_a_crash_is_told_again(world: World) -> None:
    """The trail upstream must say what the trail here says."""
    world.events_are_safe = False
    world.submit("a")
    world.write()
    world.report("a")
    world.write()
    world.crash()
    told_again = list(world.told)
    world.desk.book.event_safe([1, 7])
    world.write()
    world.crash()

    assert told_again == [("a", Status.DONE)] * 2
    assert world.told == told_again


def _note(world: World, order_id: str) -> None:
    order = world.order(order_id, origin="uplink:cloud")
    answer = Answer(id=order_id, device="d", name="set", status=Status.REFUSED, reason="not JSON", at_ns=1)
    world.desk.note(order, answer)


def test_what_was_refused_before_it_was_a_command_leaves_its_trace(world: World) -> None:
    """Whoever looks for what was told to a device finds what did not work, too; it was answered already."""
    _note(world, "")
    _note(world, "x")
    world.write()
    world.crash()
    world.desk.join("uplink:cloud", world.caller)
    world.submit("x", origin="uplink:cloud")
    world.write()

    noted = [(row.order.id, row.answer.reason) for row in world.rows() if row.answer is not None]
    assert noted == [("", "not JSON"), ("x", "not JSON")]
    assert world.told == [("", Status.REFUSED), ("x", Status.REFUSED)]
    assert world.caller.answers == {}
    assert world.devices.executed == ["x"]


def test_a_flood_of_rubbish_leaves_few_traces_and_a_count(world: World) -> None:
    """It must not push out the trail of what was really told, nor wear the flash."""
    for _ in range(1000):
        _note(world, "")
        world.write()
    world.now_s += 61
    _note(world, "")
    _note(world, "")
    world.write()

    rows = world.rows()
    assert len(rows) == 21
    assert rows[-1].answer is not None
    assert rows[-1].answer.reason == "not JSON (980 more before it left no trace)"
    assert len(world.told) == 21


def test_rubbish_is_not_recorded_where_nothing_can_be(world: World) -> None:
    world.submit("a")
    world.write("disk full")
    _note(world, "")

    assert [row.order.id for row in world.rows()] == ["a"]


def test_the_trail_goes_back_no_further_than_it_may() -> None:
    world = World(bounds=Bounds(max_age_s=3600.0))
    world.submit("a")
    world.write()
    world.report("a")
    world.write()
    world.now_s += 3601
    world.submit("b")
    world.write()

    assert [row.order.id for row in world.rows()] == ["b"]
    assert world.desk.book.forgotten == 1
