"""What devices say of traces is W3C Trace Context, level 1, or it is not there."""

from __future__ import annotations

from random import Random

import pytest

from fieldgate_devices.event import Trace
from fieldgate_devices.trace_context import child_of, new_trace, read_trace, trace_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        (PARENT, PARENT),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-03", f"00-{TRACE}-{SPAN}-03"),
        (f"cc-{TRACE}-{SPAN}-0b", f"00-{TRACE}-{SPAN}-01"),
        (f"cc-{TRACE}-{SPAN}-00-what-will-be", f"00-{TRACE}-{SPAN}-00"),
        (f"cc-{TRACE}-{SPAN}-01.what", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (PARENT.upper(), None),
        (PARENT + "\n", None),
        (PARENT[:-1], None),
        (f"00-{TRACE[:-1]}٣-{SPAN}-01", None),
        ("", None),
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 60_000}", None),
    ],
)
def test_a_traceparent_follows_the_grammar_or_is_left_out(said: str, passed_on: str | None) -> None:
    """It is copied into envelopes, blocks and properties: nothing that is not of this form may get that far."""
    trace, is_bad = read_trace([("other", "x"), ("traceparent", said)])

    assert (None if trace is None else trace.parent) == passed_on
    assert is_bad is (passed_on is None)


@pytest.mark.parametrize(
    ("states", "passed_on"),
    [
        (["rojo=00f067,congo=t61"], "rojo=00f067,congo=t61"),
        (["a=1", "b=2"], "a=1,b=2"),
        ([" a=1 ,, b=2\t"], "a=1,b=2"),
        (["fw529a3039@dt=x y"], "fw529a3039@dt=x y"),
        ([",".join(f"k{number}=v" for number in range(32))], ",".join(f"k{number}=v" for number in range(32))),
        ([",".join(f"k{number}=v" for number in range(33))], None),
        (["a=" + "x" * 256, "b=" + "x" * 254], None),
        (["a=1,a=2"], None),
        (["A=1"], None),
        (["a"], None),
        (["a=1\n"], None),
        (["a=é"], None),
    ],
)
def test_a_tracestate_is_bounded_and_never_costs_the_traceparent(states: list[str], passed_on: str | None) -> None:
    """W3C asks to pass on 512 characters and 32 members; a device may send 60 KB."""
    trace, is_bad = read_trace([("traceparent", PARENT), *(("tracestate", one) for one in states)])

    assert trace == Trace(PARENT, passed_on or "")
    assert is_bad is (passed_on is None)


def test_a_second_traceparent_makes_both_worthless() -> None:
    """Nobody can say which is meant. A tracestate alone means nothing either."""
    assert read_trace([("traceparent", PARENT)] * 2) == (None, True)
    assert read_trace([("tracestate", "a=1")]) == (None, True)
    assert read_trace([("Traceparent", PARENT)]) == (None, False)


def test_a_child_is_of_the_same_trace_with_a_parent_of_its_own() -> None:
    """What a rule makes must not look as if the device had made it; a trace that nobody records stays so."""
    cause, rng = Trace(PARENT, "a=1", "1" * 16), Random(1)

    child, quiet = child_of(cause, rng), child_of(Trace(PARENT), rng)

    assert (trace_id(child), child.state, child.parent[-2:]) == (TRACE, "a=1", "01")
    assert child.parent[36:52] == child.span != SPAN
    assert read_trace([("traceparent", child.parent)]) == (Trace(child.parent), False)
    assert (quiet.span, quiet.parent[36:52] != SPAN) == ("", True)
    begun = new_trace(rng)
    assert begun.is_sampled
    assert read_trace([("traceparent", begun.parent)]) == (Trace(begun.parent), False)
