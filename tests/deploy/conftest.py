"""Machines for the tests of this folder: bare ones, and ones on which Fieldgate has been installed.

What was done on them and what they said is in ``results``, a file for each test; ``results/summary.txt`` has the
outcome and the figures of all.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from machine_kit import RESULTS, Machine, bare_image, machine_on, wheels
from package_kit import build, this_debian

_OUTCOMES = ("passed", "failed", "error", "skipped")


@pytest.fixture(scope="session", autouse=True)
def results() -> Path:
    """The folder of what the machines said, empty."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir()
    return RESULTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write the summary, and say where it is."""
    reports = [
        (outcome, report)
        for outcome in _OUTCOMES
        for report in terminalreporter.stats.get(outcome, ())
        if "tests/deploy/" in report.nodeid
    ]
    if not reports or not RESULTS.is_dir():
        return
    lines: list[str] = []
    for outcome, report in sorted(reports, key=lambda one: one[1].nodeid):
        lines.append(f"{outcome:8}{report.duration:7.1f} s  {report.nodeid.removeprefix('tests/deploy/')}")
        if outcome == "skipped":
            lines.append(f"{'':19}{report.longrepr[2]}")
    figures = [
        text
        for done in terminalreporter.stats.values()
        for one in done
        if getattr(one, "when", None) == "teardown" and "tests/deploy/" in one.nodeid
        for name, text in one.user_properties
        if name == "figure"
    ]
    (RESULTS / "summary.txt").write_text("\n".join((*lines, "", *sorted(figures), "")), encoding="utf-8")
    terminalreporter.write_line(f"what the machines said: {RESULTS}/summary.txt, and a file for each test")


@pytest.fixture(scope="session")
def offline() -> Path:
    """The folder of wheels."""
    return wheels()


@pytest.fixture(scope="session")
def package(offline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package for the Debian whose Python this is, and for this machine's processor."""
    return build(tmp_path_factory.mktemp("package"), "--wheels", offline, "--debian", this_debian())[0]


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
