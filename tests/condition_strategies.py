"""Conditions and values by chance: most of them right, some of them hostile."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hypothesis import strategies as st

from condition_kit import BOOT_S, PROFILES
from fieldgate_rules.condition import Facts, Reading

LONG = ("a" * 5_000, "İ" * 2_500, "€" * 1_400, "ab" * 2_048 + "x", "ä" * 2_047 + "bc", "x" * 1_025 + "é")
NUMBERS = ("temperature", "back", "starts", "count", "pressure", "uptime", "mode", "flow")
TEXTS = ("message", "label", "state", "device")
TRUTHS = ("alarm", "door")
PATTERNS = ("^a", "b$", "a.*x", "[0-9]+", "(ab|İ)c?", "^$", r"\\d{2}")

numbers = st.one_of(
    st.sampled_from(
        [0, 1, -1, 2, 3, 20, 80, 150, -40, 0.0, -0.0, 0.1, 2.5, 1e308, -1e308, 5e-324, 2**53 + 1, 2**63, -(2**63)]
    ),
    st.integers(-100, 200),
    st.floats(-100, 200),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**64 - 1),
)
texts = st.one_of(
    st.sampled_from(["", "a", "ab", "ON", "İ", "ß", "idle", "heating", "fault", "12", *LONG]), st.text(max_size=8)
)
odd = st.sampled_from([None, True, False, "text", "", 5, 2.5, [1], {"a": 1}, 10**400, -(10**400), float("1e308")])


def in_contract(name: str) -> st.SearchStrategy[object]:
    """A value as the boiler's profile has it."""
    spec = PROFILES["boiler"].fields[name]
    match spec.type:
        case "bool":
            return st.booleans()
        case "string":
            return texts
        case "enum":
            return st.sampled_from(spec.values)
        case "object":
            return st.sampled_from([[1], {"a": 1}])
    low = -100 if spec.min is None else spec.min
    if spec.type == "int":
        far = -(2**63) if spec.min is None else int(spec.min)
        return st.one_of(st.integers(int(low), 200), st.integers(far, 2**63))
    return st.one_of(
        st.floats(low, 200 if spec.max is None else spec.max),
        st.floats(spec.min, spec.max, allow_nan=False, allow_infinity=False),
    )


def values(name: str) -> st.SearchStrategy[object]:
    """A value, most often as the profile has it, else of another kind or too large."""
    return st.one_of(in_contract(name), in_contract(name), in_contract(name), odd, numbers, texts)


def facts(*, is_odd: bool = True) -> st.SearchStrategy[Facts]:
    """An event of a boiler, with what was heard before it."""
    of = values if is_odd else in_contract
    fields = st.fixed_dictionaries({}, optional={name: of(name) for name in PROFILES["boiler"].fields})
    ages = st.sampled_from([0.0, 0.5, 60.0, 3_600.0, -5.0])
    return st.builds(
        lambda now, before, age_s, last, wall_s, device: Facts(
            fields=now,
            device=device,
            boot_s=BOOT_S,
            wall_s=wall_s,
            prev={name: Reading(value, BOOT_S - age_s) for name, value in before.items()},
            last={("b8", "level"): Reading(last, BOOT_S - age_s)} if last is not None else {},
        ),
        fields,
        fields,
        ages,
        st.one_of(st.none(), numbers, texts, odd),
        st.one_of(st.none(), st.floats(0, 4e9), st.sampled_from([0, 1e300, -1e300, 253_402_300_799.5])),
        st.sampled_from(["boiler-7", "a", ""]),
    )


def few_facts() -> st.SearchStrategy[Facts]:
    """An event that keeps the contract, with the fields of `bounded_texts` only."""
    names = ("temperature", "mode", "starts", "pressure", "message", "count", "alarm")
    fields = st.fixed_dictionaries({name: in_contract(name) for name in names})
    return st.builds(
        lambda now, before, wall_s: Facts(
            now, "b", BOOT_S, wall_s, {name: Reading(value, 0.0) for name, value in before.items()}
        ),
        fields,
        fields,
        st.floats(86_400, 4e9),
    )


number_literals = st.one_of(
    st.integers(0, 200).map(str),
    st.sampled_from(["0.5", "1e3", "2.25", "20", "80", "1e300"]),
    st.just("9223372036854775807"),
)
text_literals = st.sampled_from(['"a"', '"ab"', '"ON"', "''", '"x"', '"İ"'])


def _later(texts: Callable[[int], st.SearchStrategy[str]], depth: int) -> st.SearchStrategy[str]:
    """The same, described by its name and not by all that it is made of."""
    return st.deferred(lambda: texts(depth))


def _number_names(fields: tuple[str, ...]) -> st.SearchStrategy[str]:
    names = st.sampled_from(fields)
    return st.one_of(names, names, names.map(lambda name: f"prev.{name}"))


@cache
def number_texts(depth: int) -> st.SearchStrategy[str]:
    """Numbers. Those with a unit meet only literals, functions and products: a quarter of all would be refused."""
    leaves = st.one_of(_number_names(("starts", "count", "mode")), number_literals)
    united = _number_names(("temperature", "pressure", "flow", "uptime"))
    if depth == 0:
        return st.one_of(leaves, united.map(lambda one: f"{one} * 1"))
    below = _later(number_texts, depth - 1)
    sign = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    changed = st.sampled_from(["temperature", "starts", "count", "flow"])
    return st.one_of(
        leaves,
        united.map(lambda one: f"({one} / 2)"),
        st.builds("({} {} {})".format, below, sign, below),
        st.builds("-{}".format, below),
        st.builds("abs({})".format, below),
        st.builds("round({})".format, below),
        st.builds("round({}, {})".format, below, st.integers(0, 10)),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), below, below),
        st.builds("clamp({}, {}, {})".format, below, st.integers(0, 20), st.integers(20, 90)),
        st.builds("({} if {} else {})".format, below, _later(truth_texts, depth - 1), below),
        st.builds("default({}, {})".format, _number_names(("starts", "count")), below),
        st.builds("delta({})*1".format, changed),
        st.builds('rate({}, "{}")'.format, changed, st.sampled_from(["1s", "5m", "1h"])),
        st.builds("rate({})".format, changed),
        st.sampled_from(['convert(temperature, "°F")*1', 'convert(prev.pressure, "psi")*1', "hour(now)", "now*1"]),
        st.builds("length({})".format, text_texts(depth - 1)),
        st.builds("hour({})".format, leaves),
    )


@cache
def bounded_texts(depth: int) -> st.SearchStrategy[str]:
    """Numbers whose ends are known, for what the checker says of ranges."""
    leaves = st.sampled_from(
        ["temperature*1", "prev.temperature*1", "mode", "starts", "pressure*1", "hour(now)", "length(message)", "count"]
    )
    ends = st.sampled_from(["0", "1", "2.5", "3", "24", "-40", "-41", "150", "151", "1e9"])
    if depth == 0:
        return leaves | ends
    below = _later(bounded_texts, depth - 1)
    return st.one_of(
        leaves,
        st.builds("({} {} {})".format, below, st.sampled_from(["+", "-", "*", "/", "//", "%"]), below),
        st.builds("({} {} {})".format, below, st.sampled_from(["+", "-", "*", "/", "//", "%"]), ends),
        st.builds("{}({})".format, st.sampled_from(["abs", "round", "-", "-"]), below),
        st.builds("round({}, 2)".format, below),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), below, below),
        st.builds("clamp({}, {}, {})".format, below, st.integers(0, 20), st.integers(20, 90)),
        st.builds("({} if alarm else {})".format, below, below),
        st.builds("default({}, {})".format, st.sampled_from(["mode", "starts", "prev.mode"]), ends),
        st.sampled_from(['convert(temperature, "°F")*1', 'convert(temperature, "K")*1', "delta(temperature)*1"]),
    )


@cache
def text_texts(depth: int) -> st.SearchStrategy[str]:
    """Texts."""
    leaves = st.sampled_from(["message", "label", "device", "prev.message", "state", "prev.state"])
    if depth == 0:
        return st.one_of(leaves, text_literals)
    return st.one_of(
        leaves,
        st.builds("{}({})".format, st.sampled_from(["lower", "upper"]), leaves),
        st.builds("({} if {} else {})".format, leaves, _later(truth_texts, depth - 1), text_literals),
        st.builds("default({}, {})".format, st.sampled_from(["message", "prev.label"]), text_literals),
        st.just("weekday(now)"),
    )


@cache
def truth_texts(depth: int) -> st.SearchStrategy[str]:
    """Conditions."""
    names = st.sampled_from(
        ["alarm", "door", "prev.alarm", "has(flow)", "has(details)", "has(prev.message)", "not door"]
    )
    order = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    same = st.sampled_from(["==", "!="])
    quick = st.one_of(
        names,
        st.builds(
            "{} {} {}".format, st.sampled_from(["starts", "count", "temperature", "flow"]), order, number_literals
        ),
        st.builds("state {} '{}'".format, same, st.sampled_from(["idle", "heating", "fault"])),
        st.builds("level {} {}".format, same, st.sampled_from(['"low"', "0", "true"])),
        st.builds("mode {} [{}, {}]".format, st.sampled_from(["in", "not in"]), st.just(1), st.integers(2, 3)),
        st.builds("message {} ['a', {}]".format, st.sampled_from(["in", "not in"]), text_literals),
        st.builds('uptime {} "{}"'.format, order, st.sampled_from(["5m", "2h", "1d"])),
        st.builds(
            'age({}) {} "{}"'.format, st.sampled_from(["prev.flow", 'last("b8", "level")']), order, st.just("1m")
        ),
        st.builds('last("b8", "level") {} {}'.format, order, number_literals),
        st.builds('last("b8", "level") {} {}'.format, same, st.sampled_from(['"a"', "true", "message", "count"])),
    )
    if depth == 0:
        return quick
    below, number, text = (_later(one, depth - 1) for one in (truth_texts, number_texts, text_texts))
    return st.one_of(
        quick,
        st.builds("({} and {})".format, below, below),
        st.builds("({} or {})".format, below, below),
        st.builds("{} and {} or {}".format, quick, quick, below).map(lambda one: f"({one})"),
        st.builds("not {}".format, below).map(lambda one: f"({one})"),
        st.builds("({} if {} else {})".format, below, below, below),
        st.builds("({} {} {})".format, number, order, number),
        st.builds("({} {} {} {} {})".format, number, order, number, order, number),
        st.builds("({} {} {})".format, text, same, text),
        st.builds("{}({}, {})".format, st.sampled_from(["contains", "startswith", "endswith"]), text, text),
        st.builds('matches({}, "{}")'.format, text, st.sampled_from(PATTERNS)),
        st.builds(
            'between({}, "{}", "{}")'.format,
            st.sampled_from(["now", "count"]),
            st.sampled_from(["22:00", "09:30"]),
            st.sampled_from(["06:00", "10:01"]),
        ),
    )
