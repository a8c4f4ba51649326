"""Machines for the tests of this folder: bare ones, and ones on which Fieldgate has been installed in either way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from machine_kit import Machine, bare_image, machine_on, wheels


@pytest.fixture(scope="session")
def offline() -> Path:
    """The folder of wheels."""
    return wheels()


@pytest.fixture
async def bare(tmp_path: Path, offline: Path) -> AsyncIterator[Machine]:
    """A machine that has never heard of Fieldgate; the checkout is /src there, the wheels are /wheels."""
    async for machine in machine_on(tmp_path, bare_image(), bind=[f"{offline}:/wheels"]):
        yield machine


@pytest.fixture(scope="session")
def by_script(tmp_path_factory: pytest.TempPathFactory, offline: Path) -> Iterator[Path]:
    """The disk of a machine on which install.sh was run, as it was left: switched off."""
    folder = tmp_path_factory.mktemp("by-script")
    image = folder / "installed.ext4"

    async def install() -> None:
        async for machine in machine_on(folder, bare_image(), bind=[f"{offline}:/wheels"]):
            await machine.run("/src/deploy/install.sh", "--offline", "/wheels", timeout_s=400)
            await machine.power_off()
            machine.save(image)

    asyncio.run(install())
    yield image
    image.unlink()


@pytest.fixture
async def installed(tmp_path: Path, by_script: Path, offline: Path) -> AsyncIterator[Machine]:
    """A machine on which Fieldgate was installed, that has just been switched on."""
    async for machine in machine_on(tmp_path, by_script, bind=[f"{offline}:/wheels"]):
        yield machine
