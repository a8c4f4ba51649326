"""How much the log says is changed while it runs, for a while or for good, and what was left out is told."""

from __future__ import annotations

import pytest

from fieldgate.observe.line_budget import LineBudget
from fieldgate.observe.log_level import LogLevel


def test_a_level_for_a_while_gives_way_to_the_usual_one() -> None:
    """Whoever asks for debug at night must not find a full card in the morning."""
    level = LogLevel("info")
    level.set("debug", now_s=100.0, for_s=60.0)

    assert (level.current(100.0), level.left_s(130.0)) == ("debug", 30.0)
    assert level.current(159.9) == "debug"
    assert level.current(160.0) == "info"
    assert level.left_s(160.0) is None
    assert [level.has_gone_back(160.0), level.has_gone_back(160.0)] == [True, False]


def test_a_level_for_good_ends_one_for_a_while() -> None:
    """The last word counts."""
    level = LogLevel("info")
    level.set("debug", now_s=0.0, for_s=60.0)
    level.set("warning", now_s=1.0)

    assert level.current(2.0) == level.current(100.0) == level.usual == "warning"


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ["debug", "info", "warning", "error", "exception"]),
        ("info", ["info", "warning", "error", "exception"]),
        ("warning", ["warning", "error", "exception"]),
        ("error", ["error", "exception"]),
    ],
)
def test_a_level_takes_what_is_as_bad_or_worse(level: str, said: list[str]) -> None:
    """As everywhere."""
    one = LogLevel(level)  # type: ignore[arg-type]  # a level

    assert [method for method in ("debug", "info", "warning", "error", "exception") if one.takes(method, 0.0)] == said


def test_what_was_left_out_is_told_once_its_kind_is_quiet() -> None:
    """A storm that ends would else have the size of its burst for ever."""
    budget = LineBudget(burst=2, per_s=0.1)
    for _ in range(10):
        budget.take("storm", 0.0)
    budget.take("calm", 0.0)

    assert budget.rested(5.0, for_s=10.0) == []
    assert budget.rested(10.0, for_s=10.0) == [("storm", 8)]
    assert budget.rested(20.0, for_s=10.0) == []
    assert budget.take("storm", 60.0) == 0
