"""What holds for every test: no deadline in hypothesis (CI machines and Pis are slow at times), figures at the end."""

from collections.abc import Callable

import pytest
from hypothesis import settings

from interop_kit.table import table_lines

settings.register_profile("fieldgate", deadline=None)
settings.load_profile("fieldgate")

_FIGURE = "figure"


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a test say what it counted; shown at the end of the run under the test's name."""

    def say(text: str) -> None:
        request.node.user_properties.append((_FIGURE, f"{request.node.name}: {text}"))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        text
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "teardown" or getattr(report, "failed", False)
        for name, text in getattr(report, "user_properties", ())
        if name == _FIGURE
    ]
    tables = table_lines(terminalreporter.stats)
    if lines or tables:
        terminalreporter.section("figures")
        for line in (*lines, *tables):
            terminalreporter.write_line(line)
