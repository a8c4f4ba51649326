"""What holds for every test: no deadline in hypothesis (CI machines and Pis are slow at times), figures at the end."""

from collections.abc import Callable

import pytest
from hypothesis import settings

settings.register_profile("fieldgate", deadline=None)
settings.load_profile("fieldgate")

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Have a test say what it counted; shown at the end of the run under the test's name."""

    def say(text: str) -> None:
        request.config.stash.setdefault(_FIGURES, []).append(f"{request.node.name}: {text}")

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)
