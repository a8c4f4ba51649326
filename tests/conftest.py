"""What holds for every test: cases by chance that are the same each time, Ctrl-C that arrives, figures at the end.

Hypothesis has no deadline (CI machines and Pis are slow at times). What it tries follows from the test, so that a
change fails for what it changed; ``make test-long`` loads the profile ``explore``, which tries other cases each time.
"""

import signal
from collections.abc import Callable

import pytest
from hypothesis import settings

from interop_kit.table import table_lines

settings.register_profile("explore", deadline=None, print_blob=True)
settings.register_profile("fieldgate", settings.get_profile("explore"), derandomize=True, database=None)
settings.load_profile("fieldgate")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it starts behind; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
_HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}

_FIGURE = "figure"


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a test say what it counted; shown at the end of the run under the test's name."""

    def say(text: str) -> None:
        request.node.user_properties.append((_FIGURE, f"{request.node.name}: {text}"))

    return say


def pytest_runtest_teardown() -> None:
    """Undo what a command does that was run in this process: it ends with signals ignored, which children inherit."""
    for number, handler in _HANDLERS.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


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
