"""One server for all scenarios, and each scenario once per client library that can take part."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from fieldgate_simulators.broker import Broker
from gateway_kit import Gateway, running
from interop_kit.contract import Client, Library, Settings
from interop_kit.libraries import LIBRARIES
from interop_kit.node import lacks
from interop_kit.table import PROPERTY


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("interop")
    if marker is None or "library" not in metafunc.fixturenames:
        return
    able = [
        one
        for one in LIBRARIES
        if marker.args[0] not in one.lacks and (one.version == 5 or not marker.kwargs.get("v5", False))
    ]
    metafunc.parametrize("library", able, ids=lambda one: one.label.replace(" ", "-"))


@pytest.fixture(
    scope="session", params=["fieldgate", pytest.param("mosquitto", marks=pytest.mark.long)], ids=lambda name: name
)
def server_name(request: pytest.FixtureRequest) -> str:
    """Who is tested; mosquitto shows that the scenarios ask for nothing odd, and what the floor is."""
    return str(request.param)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def port(server_name: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """Where the server listens, for all scenarios."""
    folder: Path = tmp_path_factory.mktemp(server_name)
    if server_name == "mosquitto":
        async with Broker(kind="mosquitto", folder=folder) as broker:
            yield broker.port
        return
    upstream = Broker(folder=folder / "upstream")  # it takes the events, so that no publish waits for the disk
    async with upstream, running(Gateway(folder, uplinks={"up": {"mqtt": {"url": upstream.url}}})) as gateway:
        yield gateway.port


@pytest.fixture
def scenario(request: pytest.FixtureRequest, server_name: str, library: Library) -> str:
    """The name of the scenario, as the table has it; notes where the test's outcome belongs."""
    marker = request.node.get_closest_marker("interop")
    name = str(marker.args[0]) + "".join(f" {value}" for value in _values(request, marker.kwargs.get("each")))
    request.node.user_properties.append((PROPERTY, (f"clients of {server_name}", name, library.label)))
    return name


def _values(request: pytest.FixtureRequest, parameter: str | None) -> list[object]:
    return [] if parameter is None else [request.node.callspec.params[parameter]]


@pytest_asyncio.fixture(loop_scope="session")
async def client(scenario: str, library: Library, port: int) -> AsyncIterator[Callable[..., Client]]:
    """Make clients: ``client("a")``, with the other fields of `Settings`; ids are unique to the test."""
    if library.missing is not None:
        lacks(library.missing)
    unique = secrets.token_hex(3)
    async with library.clients_of(port) as make:
        yield lambda name, **settings: make(Settings(f"{name}-{unique}", **settings))


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"interop/{secrets.token_hex(4)}"
