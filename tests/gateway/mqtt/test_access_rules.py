"""Rules about topics: what they allow, and that nobody's name can bend them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldgate.mqtt.access_rules import (
    AccessRules,
    ClientRights,
    Rule,
    covers,
    fill_in,
    publishing,
    receiving,
    subscribing,
)
from fieldgate.mqtt.topics import matches, valid_filter, valid_topic
from fieldgate_devices.files.location import Location

HERE = Location("acl.yaml", 1, 1)


def allow(topic: str, *, publish: bool = True, subscribe: bool = True) -> Rule:
    return Rule(topic, publish, subscribe, True, HERE)


def deny(topic: str, *, publish: bool = True, subscribe: bool = True) -> Rule:
    return Rule(topic, publish, subscribe, False, HERE)


def test_what_no_rule_allows_is_denied() -> None:
    """The default of an ACL is no."""
    rules = (allow("a/#"),)

    assert publishing(rules, "a/b").is_allowed
    assert not publishing(rules, "b").is_allowed
    assert publishing(rules, "b").rule is None
    assert not publishing((), "a").is_allowed


@pytest.mark.parametrize("rules", [(allow("#"), deny("secret/#")), (deny("secret/#"), allow("#"))])
def test_a_denying_rule_wins_wherever_it_stands(rules: tuple[Rule, ...]) -> None:
    """Order would be one more thing to get wrong."""
    assert not publishing(rules, "secret/x").is_allowed
    assert publishing(rules, "other").is_allowed
    assert not subscribing(rules, "secret/+").is_allowed
    assert subscribing(rules, "#").is_allowed
    assert not receiving(rules, "secret/x").is_allowed


def test_a_rule_counts_for_whom_it_is_about_and_nobody_else() -> None:
    """``all_users`` is everybody who logged in; who did not is none of them, and nobody has another user's rules."""
    rules = AccessRules(
        anonymous=(allow("open"),), all_users=(allow("shared"),), users={"amy": (allow("hers"),), "bob": ()}
    )

    def may(user: str) -> set[str]:
        own = rules.about(user, "c")
        return {topic for topic in ("open", "shared", "hers") if publishing(own, topic).is_allowed}

    assert may("") == {"open"}
    assert may("amy") == {"shared", "hers"}
    assert may("bob") == may("not in the file") == {"shared"}


def test_publishing_and_subscribing_are_two_things() -> None:
    """A sensor writes and does not read; a dashboard the other way round."""
    assert not subscribing((allow("a", subscribe=False),), "a").is_allowed
    assert not receiving((allow("a", subscribe=False),), "a").is_allowed
    assert not publishing((allow("a", publish=False),), "a").is_allowed
    assert receiving((allow("a"), deny("a", subscribe=False)), "a").is_allowed


@pytest.mark.parametrize(
    ("wide", "narrow", "is_covered"),
    [
        ("#", "#", True),
        ("#", "a/+/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/#", "a", True),
        ("a/#", "a/#", True),
        ("a/+", "a/#", False),
        ("a/+", "a", False),
        ("a/+", "a/+", True),
        ("a/b", "a/+", False),
        ("+/+", "#", False),
        ("a", "a/b", False),
        ("a/#", "+/#", False),
    ],
)
def test_a_subscription_must_be_covered_as_a_whole(wide: str, narrow: str, is_covered: bool) -> None:
    """`#` by somebody who may read `a/#` is refused, not quietly narrowed."""
    assert covers(wide, narrow) is is_covered


LEVELS = st.sampled_from(["a", "b", "", "$x", "+"])
FILTERS = st.builds(
    lambda levels, end: "/".join([*levels, *end]), st.lists(LEVELS, max_size=3), st.sampled_from([[], ["#"]])
)
TOPICS = st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=4).map("/".join)


@given(FILTERS.filter(valid_filter), FILTERS.filter(valid_filter), TOPICS.filter(valid_topic))
def test_what_is_covered_matches_nothing_else(wide: str, narrow: str, topic: str) -> None:
    """The promise of `covers`, against the matcher."""
    if covers(wide, narrow) and matches(narrow, topic):
        assert matches(wide, topic)


def test_a_shared_subscription_is_judged_by_its_filter() -> None:
    """$share must not be a way round the ACL."""
    assert subscribing((allow("a/#"),), "$share/g/a/b").is_allowed
    assert not subscribing((allow("a/#"),), "$share/g/b").is_allowed
    assert not subscribing((allow("#"),), "$share/g/$SYS/x").is_allowed


@pytest.mark.parametrize("name", ["#", "+", "a/b", "a+", "#b", "$SYS", "", "a\0"])
def test_a_name_that_could_bend_a_filter_matches_nothing(name: str) -> None:
    """CVE-2017-7650: a client id of `#` read everything that was meant for one device."""
    rules = AccessRules(all_users=(allow("dev/%c/#"), allow("user/%u/#")), anonymous=(allow("dev/%c/#"),))

    assert [one.topic for one in rules.about("u", name)] == ["user/u/#"]
    assert rules.about("", name) == ()
    assert fill_in("user/%u", user=name, client_id="c") is None


def test_names_and_per_cent_signs_are_filled_in_once() -> None:
    """A user called `%c` is only a user with an odd name."""
    assert fill_in("%u/%c/%%u", user="%c", client_id="%u") == "%c/%u/%u"
    assert fill_in("plain", user="#", client_id="#") == "plain"


def test_rights_follow_the_rules_that_are_in_force() -> None:
    """What was remembered of the old ones is forgotten."""
    denied: Counter[str] = Counter()
    rights = ClientRights(AccessRules(all_users=(allow("a"),)), user="u", client_id="c", denied=denied)
    assert rights.may_publish("a")
    assert rights.may_receive("a")
    assert not rights.may_subscribe("b")

    rights.exchange(AccessRules(all_users=(allow("b"),)))

    assert not rights.may_publish("a")
    assert not rights.may_receive("a")
    assert rights.may_subscribe("b")
    assert denied == {"subscribe": 1}


def test_what_is_remembered_is_bounded() -> None:
    """A client that makes up topics costs a little memory and no more."""
    rights = ClientRights(AccessRules(all_users=(allow("t/#"),)), user="u", client_id="c", denied=Counter())

    assert all(rights.may_publish(f"t/{number}") for number in range(5000))
    assert rights.may_publish("t/" + "x" * 60_000)
    assert len(rights._publish) <= 512
