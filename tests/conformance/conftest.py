"""The servers under test, and the marks that say where one of them is known to differ.

Every test that takes ``server`` runs against our listener and, for calibration, against mosquitto: a test that a
mature server fails too is suspect of misreading the specification. ``mosquitto_differs`` records where it does, and
why; ``fieldgate_lacks`` what our listener does not do yet. Both may be held to some parameters (``level=(4,)``), and
both are strict: what begins to pass must be unmarked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from mqtt_peer import (
    PATIENCE_S,
    SHORT_PATIENCE_S,
    Server,
    fieldgate_server,
    mosquitto_path,
    mosquitto_server,
    mosquitto_version,
)

CALIBRATED = "2.0.11"  # the mosquitto whose differences are recorded


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        target = callspec.params.get("server") if callspec is not None else "fieldgate"
        name = "mosquitto_differs" if target == "mosquitto" else "fieldgate_lacks"
        params = callspec.params if callspec is not None else {}
        for mark in item.iter_markers(name):
            if all(params[key] in values for key, values in mark.kwargs.items()):
                item.add_marker(pytest.mark.xfail(strict=True, reason=mark.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for outcome in ("passed", "xfailed"):
        for report in terminalreporter.stats.get(outcome, []):
            if report.when == "call" and "/conformance/" in report.nodeid:
                counts["mosquitto" if "[mosquitto" in report.nodeid else "fieldgate", outcome] += 1
    if counts:
        terminalreporter.section("conformance")
        for name in ("fieldgate", "mosquitto"):
            passed, differ = counts[name, "passed"], counts[name, "xfailed"]
            terminalreporter.write_line(f"{name}: {passed} cases as the standard says, {differ} known to differ")


@pytest.fixture(scope="session")
def our_listener() -> Iterator[Server]:
    with fieldgate_server() as server:
        yield server


@pytest.fixture
def fieldgate(our_listener: Server) -> Iterator[Server]:
    """Our listener alone, for what only we promise or what a second opinion adds nothing to."""
    yield our_listener
    our_listener.close_peers()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed: our listener is tested without a second opinion")
    if mosquitto_version() != CALIBRATED:
        pytest.skip(f"the differences recorded are those of mosquitto {CALIBRATED}; this one is {mosquitto_version()}")
    with mosquitto_server(tmp_path_factory.mktemp("mosquitto")) as server:
        yield server


@pytest.fixture(params=["fieldgate", pytest.param("mosquitto", marks=pytest.mark.calibration)])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    running: Server = request.getfixturevalue(request.param)
    is_to_fail = any(mark.name == "xfail" for mark in request.node.iter_markers())
    running.patience_s = SHORT_PATIENCE_S if is_to_fail else PATIENCE_S
    yield running
    running.close_peers()


@pytest.fixture(params=[4, 5], ids=["3.1.1", "5"])
def level(request: pytest.FixtureRequest) -> int:
    """The protocol level of the clients of a test that holds for both versions."""
    return int(request.param)
