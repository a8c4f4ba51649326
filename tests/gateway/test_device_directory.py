"""Which device a command is for: what is said of one that is not known, and what that costs."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fieldgate.decide.desk_contract import Refusal
from fieldgate.decide.orders import CLI, Order
from fieldgate.device_directory import DeviceDirectory
from fieldgate.device_watch import DeviceWatch
from fieldgate_devices.catalogue import Catalogue


def directory(*names: str) -> DeviceDirectory:
    registry = SimpleNamespace(devices={("boiler", name): None for name in names}, fold=lambda: None)
    return DeviceDirectory(
        cast("DeviceWatch", SimpleNamespace(registry=registry)),
        cast("Catalogue", SimpleNamespace(contracts={})),
        assigned={},
        choose=lambda _request, _topic: None,
    )


def order(device: str, origin: str) -> Order:
    values: dict[str, Any] = {"received_boot_ns": 0, "received_wall_ns": 0}
    return Order(device=device, name="set", arguments={}, origin=origin, id="a", **values)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (CLI, "no device 'boiler-7x' is known; did you mean 'boiler-7'?"),
        ("uplink:cloud", "no device 'boiler-7x' is known"),
    ],
)
def test_a_person_is_told_which_device_may_be_meant(origin: str, words: str) -> None:
    """Whoever is upstream gives names by program, many of them: comparing names for each would stop the loop."""
    with pytest.raises(Refusal) as refused:
        directory("boiler-7", "pump").target(order("boiler-7x", origin))

    assert str(refused.value) == words


@pytest.mark.parametrize("name", ["sensor-999999x", "x" * 60_000])
def test_also_for_a_person_the_comparing_is_bounded(name: str) -> None:
    """With 100,000 devices it took seconds, in which no device was served."""
    known = directory(*(f"sensor-{number:06}" for number in range(100_000)))
    begin = time.process_time()
    with pytest.raises(Refusal, match="no device"):
        known.find(name)

    assert time.process_time() - begin < 1.0
