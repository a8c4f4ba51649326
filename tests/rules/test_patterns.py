"""Regular expressions: the same matches as RE2's, and none that a text can make slow."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldgate_rules.condition.pattern import read_pattern
from fieldgate_rules.condition.pattern_states import MAX_STATES, texts_through_all_states
from fieldgate_rules.condition.pattern_syntax import Choice, End, Part, Repeat, Row, Start, parse_pattern

LETTERS = "abcABC01 ._-\nä€"
atoms = st.sampled_from(
    ["a", "b", "0", ".", r"\d", r"\w", r"\s", r"\D", r"\W", r"\.", "[ab]", "[^a]", "[a-c0]", "[]a]", "[^]]", "[a-]",
     "ä", r"\x61", r"\x{20AC}", "[[:digit:]_]", "[[:^alpha:]]", r"[\d.]", "(ab)", "(?:a|b)", "(?P<n>c)", "(a|)",
     "^", "$", r"\A", r"\z", r"\t", "-", "]", "{", "a{", "a{,2}"]
)  # fmt: skip
repeats = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?", "??", "{1,2}?"])
patterns = st.builds(
    "{}{}".format,
    st.sampled_from(["", "", "(?i)", "(?s)", "(?is)"]),
    st.lists(st.builds("{}{}".format, atoms, repeats) | st.just("|"), max_size=5).map("".join),
)


def ends(part: Part, text: str, at: int) -> set[int]:
    """Where ``part`` can end that begins at ``at``: slow, and as it is read."""
    match part:
        case Row():
            here = {at}
            for one in part.parts:
                here = {end for begin in here for end in ends(one, text, begin)}
            return here
        case Choice():
            return {end for one in part.parts for end in ends(one, text, at)}
        case Repeat():
            here, found = {at}, {at} if part.low == 0 else set()
            for count in range(1, (part.high if part.high is not None else len(text) + part.low + 1) + 1):
                here = {end for begin in here for end in ends(part.part, text, begin)}
                if count >= part.low:
                    found |= here
            return found
        case Start():
            return {at} if at == 0 else set()
        case End():
            return {at} if at == len(text) else set()
        case _:
            return {at + 1} if at < len(text) and any(low <= ord(text[at]) <= high for low, high in part) else set()


@settings(max_examples=300)
@given(patterns, st.lists(st.text(LETTERS, max_size=6), min_size=4, max_size=4))
def test_a_pattern_is_understood_as_re2_understands_it(pattern, texts):
    """The states are counted on our reading of the pattern: it has to be the right one."""
    try:
        compiled = re2.compile(pattern)
    except re2.error:
        with pytest.raises(ValueError, match="no regular expression of RE2"):
            read_pattern(pattern)
        return
    part = parse_pattern(pattern)
    for text in texts:
        found = any(ends(part, text, at) for at in range(len(text) + 1))

        assert found is (compiled.search(text) is not None), (pattern, text)
        assert read_pattern(pattern).is_found(text) is found


@pytest.mark.parametrize(
    "pattern",
    ["a.{30}b", "a[ab]{20}c", "(a|b)*a(a|b){12}", "[01]*1[01]{9}", ".*a.{9}b.*", "(?i)e.{9}g"],
)
def test_a_pattern_with_too_many_states_is_refused(pattern):
    """RE2 makes a state for each byte of a text: 7 ms for 4 KiB, for every event."""
    with pytest.raises(ValueError, match=f"more than {MAX_STATES} states"):
        read_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("a{1000}", "too long with its repeats written out"),
        ("(((a?){9}){9}){9}", "too long with its repeats written out"),
        (r"\p{Greek}", "is no part of the patterns"),
        ("(?m)^a", "is no part of the patterns"),
        (r"\Qa\E", "is no part of the patterns"),
        (r"\C", "is no part of the patterns"),
        ("(", "missing"),
        ("a" * 129, "129 characters; allowed: 128"),
        ("|".join(map("".join, zip(*[iter(map(chr, range(0x4E00, 0x4E60)))] * 3, strict=True))), "too intricate"),
    ],
)
def test_what_cannot_be_followed_is_refused(pattern, said):
    with pytest.raises(ValueError, match=said):
        read_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["^E[0-9]+$", "error.*timeout", "(?i)error|warn|fail", r"^\d{4}-\d\d-\d\d", "^a[ab]{20}c$", r"\bfoo\b", "[äö]+x",
     "", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", "fox|dog|cat|horse|elephant"],
)  # fmt: skip
def test_what_people_write_is_taken(pattern):
    assert read_pattern(pattern).is_found("no such thing") in (True, False)


def test_all_states_are_made_before_the_first_event():
    """Texts that lead through every step are tried when the rule is read: `^abc` has a state for each letter."""
    texts = texts_through_all_states("^abc")

    assert {"", "a", "ab", "abc"} <= set(texts)
    assert {text[-1:] for text in texts if text.startswith("ab")} >= {"c", "a"}


def test_a_pattern_has_as_many_states_as_it_has():
    """Control: one for each letter, one for the beginning and one for what cannot fit any more."""
    read_pattern(f"^a{{{MAX_STATES - 2}}}")
    with pytest.raises(ValueError, match=f"more than {MAX_STATES} states"):
        read_pattern(f"^a{{{MAX_STATES + 1}}}")
