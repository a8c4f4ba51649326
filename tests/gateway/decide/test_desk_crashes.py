"""Commands over crashes at any moment: none is carried out twice, and each that was acknowledged has its answer."""

from __future__ import annotations

from random import Random

import pytest

from desk_world import World
from fieldgate.decide import desk as desk_module
from fieldgate.decide.open_order import OpenOrder
from fieldgate.decide.order_row import Moment, Stage
from fieldgate.decide.orders import Status

_STATUSES = (Status.DONE, Status.DONE, Status.DONE, Status.REFUSED, Status.TIMEOUT, Status.ACCEPTED)


def _run(seed: int, *, steps: int, checks_disk: bool = True) -> tuple[World, dict[str, int]]:
    """Do things by chance, then come to an end; return the world and how often each id was carried out."""
    rng = Random(seed)
    world = World()
    if not checks_disk:
        world.devices._on_disk = lambda _: Stage.STARTED
    given: list[tuple[str, str]] = []
    settled: set[str] = set()
    for _ in range(steps):
        match rng.randrange(10):
            case 0 | 1 | 2:
                given.append((f"i{len(given)}", f"d{rng.randrange(4)}"))
                world.submit(*given[-1])
            case 3 if given:
                world.submit(*rng.choice(given))
            case 4 | 5 if world.pending is None:
                world.take()
            case 6 if world.pending is not None:
                world.land()
                world.hear_of_it()
            case 7 if world.devices.reports:
                world.report(rng.choice(list(world.devices.reports)), rng.choice(_STATUSES))
            case 8:
                world.now_s += rng.choice([0.1, 3.0, 20.0])
                world.desk.tick()
            case 9 if rng.random() < 0.3:
                settled |= set(world.caller.settled_ids)
                if world.pending is not None and rng.random() < 0.5:
                    world.land()  # and the process ends before it hears of it
                world.crash()
            case _:
                pass
    settled |= set(world.caller.settled_ids)
    if world.pending is not None:
        world.land()
        world.hear_of_it()
    world.crash()
    world.desk.join("cli", world.caller)
    for _ in range(20):
        world.write()
        world.now_s += 30
        world.desk.tick()
    for order_id in settled:
        device = dict(given)[order_id]
        world.submit(order_id, device)
        assert world.caller.last(order_id)[0].is_final, f"{order_id} was acknowledged and has no answer"
    return world, {order_id: world.devices.executed.count(order_id) for order_id, _ in given}


@pytest.mark.parametrize("seed", range(80))
def test_over_crashes_at_any_moment_nothing_is_carried_out_twice(seed: int) -> None:
    """Whether or not the last write reached the disk, and whoever gives a command again."""
    world, counts = _run(seed, steps=300)

    assert max(counts.values()) <= 1
    assert world.desk.open_count == 0


def test_a_desk_that_carries_out_before_it_records_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: the promise broken on purpose."""
    begin = desk_module.OrderDesk._begin

    def hasty(self: desk_module.OrderDesk, one: OpenOrder, now: Moment) -> None:
        begin(self, one, now)
        self._start(one, now)

    monkeypatch.setattr(desk_module.OrderDesk, "_begin", hasty)

    assert any(max(_run(seed, steps=300, checks_disk=False)[1].values()) > 1 for seed in range(60))
