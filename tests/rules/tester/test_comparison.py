"""What other rules would have done: each outcome of both sides is told once, as same, added, gone or changed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fieldgate_rules.tester.comparison import Change, Comparison
from fieldgate_rules.tester.outcome import Outcome

S = 10**9


def alert(at_s: float, text: str = "hot", rule: str = "r", device: str = "d", state: str = "raised") -> Outcome:
    facts = {"state": state, "severity": "critical", "text": text, "key": device, "fields": {}}
    return Outcome(round(at_s * S), (rule,), device, "alert", facts)


def compared(before: list[Outcome], after: list[Outcome]) -> Comparison:
    comparison = Comparison()
    for at_ns in sorted({one.at_ns for one in (*before, *after)}):
        comparison.feed(*([one for one in side if one.at_ns == at_ns] for side in (before, after)))
    comparison.end()
    return comparison


def test_what_is_the_same_is_no_difference():
    both = [alert(1), alert(1), alert(2)]

    comparison = compared(both, list(reversed(both)))

    assert comparison.is_same
    assert (comparison.counts["r"].before, comparison.counts["r"].same) == (3, 3)


def test_another_text_at_the_same_time_is_a_change():
    comparison = compared([alert(1)], [alert(1, "hotter")])

    assert comparison.changes == [Change(alert(1), alert(1, "hotter"))]
    assert not comparison.is_same


def test_another_time_within_an_hour_is_a_change():
    """``for: 30s`` that becomes ``for: 5m`` is one alert that comes later, not one gone and another one."""
    assert compared([alert(30)], [alert(300)]).changes == [Change(alert(30), alert(300))]
    assert compared([alert(300)], [alert(30)]).changes == [Change(alert(300), alert(30))]
    assert [one.kind for one in compared([alert(30)], [alert(30 + 3601)]).changes] == ["gone", "added"]


def test_what_is_of_another_device_rule_or_state_is_no_change_of_it():
    """An alert that ends is no other time of one that begins."""
    for other in (alert(1, device="e"), alert(1, rule="q"), alert(1, state="resolved")):
        assert sorted(one.kind for one in compared([alert(1)], [other]).changes) == ["added", "gone"]


def test_the_first_of_each_kind_are_kept_and_all_are_counted():
    """A day may hold a million differences."""
    comparison = compared([], [alert(at_s) for at_s in range(10)])

    assert comparison.counts["r"].added == 10
    assert [one.one.at_ns for one in comparison.changes] == [0, S, 2 * S]
    assert comparison.left_out == 7


_sides = st.lists(
    st.builds(
        alert,
        at_s=st.integers(0, 8) | st.integers(3_590, 3_610) | st.integers(9_000, 9_002),
        text=st.sampled_from(["a", "b"]),
        device=st.sampled_from(["d", "e"]),
        state=st.sampled_from(["raised", "resolved"]),
    ),
    max_size=12,
)


@given(_sides, _sides)
def test_nothing_is_lost_and_nothing_told_twice(before, after):
    comparison = compared(before, after)

    counts = comparison.counts.values()
    assert sum(one.same + one.gone + one.changed for one in counts) == len(before)
    assert sum(one.same + one.added + one.changed for one in counts) == len(after)
    assert comparison.left_out + len(comparison.changes) == sum(one.added + one.gone + one.changed for one in counts)
    assert comparison.is_same == (sorted(map(repr, before)) == sorted(map(repr, after)))
