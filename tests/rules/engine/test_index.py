"""Which rules take an event is found once for each address, and kept for those that speak."""

from __future__ import annotations

from collections import Counter

import pytest

from fieldgate_devices.event import Address, Lane
from fieldgate_rules.engine import index as index_module
from fieldgate_rules.engine.index import Index
from rule_engine_kit import rules_of

RULE = "rules: [{id: r, on: {device: 'd*'}, do: [{log: heard}]}]"


class Counted(Index[str]):
    """An index that counts how often it has matched which device with the rules."""

    def __init__(self) -> None:
        super().__init__([(rule, rule.id) for rule in rules_of(RULE).rules])
        self.matched: Counter[str] = Counter()

    def _taking(self, numbers, address, lane, *, is_derived):  # type: ignore[no-untyped-def]  # as it is there
        self.matched[address.device] += 1
        return super()._taking(numbers, address, lane, is_derived=is_derived)

    def ask(self, device: str) -> tuple[str, ...]:
        """As `Engine.feed` asks."""
        address = Address(device, "generic", device)
        found = self.by_lane[Lane.NORMAL].get(address)
        return self.find(address, Lane.NORMAL) if found is None else found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """One that keeps 30 addresses, and 10 that have aged."""
    monkeypatch.setattr(index_module, "_MAX_CACHED", 30)
    monkeypatch.setattr(index_module, "_MAX_AGED", 10)
    return Counted()


def test_addresses_are_forgotten_one_at_a_time(small: Counted) -> None:
    """A fleet a little larger than what is kept would else be matched anew all at once, again and again."""
    for number in range(41):
        assert small.ask(f"d{number}") == ("r",)

    for number in range(40, 0, -1):
        assert small.ask(f"d{number}") == ("r",)
    assert set(small.matched.values()) == {1}
    small.ask("d0")
    assert small.matched["d0"] == 2


def test_who_speaks_is_kept_however_many_come_and_go(small: Counted) -> None:
    """Names that are made up for each connection must not cost the devices that stay."""
    for number in range(2_000):
        small.ask(f"d{number}")
        if number % 5 == 0:
            assert small.ask("door") == ("r",)
            assert small.ask("d-stays") == ("r",)

    assert small.matched["door"] == small.matched["d-stays"] == 1
    kept = len(small.by_lane[Lane.NORMAL]) + len(small._aged[Lane.NORMAL])
    assert kept == 40
    assert len(small._order[Lane.NORMAL]) == 30


def test_to_forget_all_of_them_at_once_is_found_out(small: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: what was done before."""

    def forgetful(self: Counted, address: Address, lane: int, taken: tuple[str, ...]) -> None:
        cache = self.by_lane[lane]
        if len(cache) >= 40:
            cache.clear()
        cache[address] = taken

    monkeypatch.setattr(Counted, "_remember", forgetful)

    with pytest.raises(AssertionError):
        test_addresses_are_forgotten_one_at_a_time(small)
