"""When the state of rules goes to disk, and how much: a virtual clock for hours of it, a real writer for its faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fieldgate.journal import rule_keeper, rule_pace
from fieldgate.journal.rule_file import RowKey, RuleFile, RuleRows
from fieldgate.journal.rule_keeper import RuleKeeper, open_rule_file
from fieldgate.journal.writer import Writer
from gateway_kit import eventually
from journal_kit import open_journal
from rule_keeper_rig import FRAME_BYTES, KeeperSite


@dataclass
class Records:
    """Rows, and which of them have changed: urgent ones or not."""

    all: dict[RowKey, bytes] = field(default_factory=dict)
    dirty: dict[RowKey, bool] = field(default_factory=dict)
    given: list[int] = field(default_factory=list)

    def put(self, *names: str, body: bytes = b"x" * 150, is_urgent: bool = True) -> None:
        for name in names:
            key = ("rule", name, "state" if is_urgent else "window")
            self.all[key] = body
            self.dirty[key] = is_urgent

    @property
    def urgent(self) -> int:
        return sum(self.dirty.values())

    def changes(self, limit: int, *, is_all: bool) -> RuleRows:
        keys = [key for key, is_urgent in self.dirty.items() if is_urgent or is_all][:limit]
        for key in keys:
            del self.dirty[key]
        self.given.append(len(keys))
        return {key: self.all.get(key) for key in keys}

    def everything(self) -> RuleRows:
        self.dirty = {}
        return dict(self.all)


class Site(KeeperSite):
    """Its records are those of this file."""

    records: Records


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, Records(), monkeypatch)


def test_a_timer_is_on_disk_within_half_a_second(site: Site) -> None:
    site.records.put("b1")
    was_behind = site.keeper.is_behind

    site.passes(0.6)

    assert site.keeper.commits == 1
    assert site.records.dirty == {}
    assert (was_behind, site.keeper.is_behind) == (True, False)


def test_many_timers_are_on_disk_after_the_commit_delay(site: Site) -> None:
    """Then the page of flash that a commit costs is shared."""
    site.records.put(*(f"b{number}" for number in range(20)))
    site.keeper.attention()

    site.loop.run_until(site.loop.now_s + 0.051)

    assert site.keeper.commits == 1


def test_a_timer_that_flaps_ten_times_a_second_wears_no_card_out(site: Site) -> None:
    """Twice a second for a minute, then every 5 s: 70 MB a day. Minutes of it, with what really goes to disk."""

    def flap(step: int) -> None:
        site.records.put("b1", body=b"%d" % step * 30)

    site.passes(120, flap)

    assert 120 <= site.keeper.commits <= 160
    assert site.flash_bytes == site.keeper.commits * FRAME_BYTES
    before = site.keeper.commits
    site.passes(240, flap)
    per_day = (site.keeper.commits - before) * 360 * FRAME_BYTES
    assert per_day < 75_000_000


def test_a_flapping_timer_without_a_limit_is_found_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: each half second, for ever."""
    monkeypatch.setattr(rule_pace, "_SUSTAINED_S", 0.0)

    with pytest.raises(AssertionError):
        test_a_timer_that_flaps_ten_times_a_second_wears_no_card_out(site)


def test_after_a_flapping_one_a_timer_is_soon_on_disk_again(site: Site) -> None:
    """Ten minutes of quiet, and the limit is as it was."""
    site.passes(120, lambda step: site.records.put("b1", body=b"%d" % step))
    site.passes(600)
    before = site.keeper.commits

    site.records.put("b2")
    site.passes(0.6)

    assert site.keeper.commits == before + 1


def test_an_idle_gateway_with_windows_writes_nothing(site: Site) -> None:
    """Only what has changed is written, and nothing has."""
    site.records.put(*(f"b{number}" for number in range(50)), is_urgent=False)
    site.passes(31)
    before = (site.keeper.commits, site.flash_bytes)

    site.passes(3600)

    assert before[0] == 1
    assert (site.keeper.commits, site.flash_bytes) == before


def test_windows_that_change_all_the_time_are_written_every_thirty_seconds(site: Site) -> None:
    """Ten devices' windows: 50 MB a day at the most, with everything."""

    def change(step: int) -> None:
        site.records.put(*(f"b{number}" for number in range(10)), body=b"%d" % step * 20, is_urgent=False)

    site.passes(600, change)

    assert 18 <= site.keeper.commits <= 20
    assert site.flash_bytes * 144 < 50_000_000


def test_what_is_much_is_written_less_often(site: Site) -> None:
    """The windows of a thousand devices: half a kibibyte a second in the long run, not 10 KiB."""

    def change(step: int) -> None:
        if step % 10 == 0:
            names = (f"b{number}" for number in range(1000))
            site.records.put(*names, body=b"%04d" % (step % 10_000) * 50, is_urgent=False)

    site.passes(1200, change)

    assert 400_000 <= site.keeper.written_bytes < 1200 * 512 + 500_000


def test_one_transaction_holds_few_rows(site: Site) -> None:
    """No commit of the journal waits long for it."""
    site.records.put(*(f"b{number}" for number in range(1000)))

    site.passes(1.0)

    assert site.records.dirty == {}
    assert max(site.records.given) == 250


# -- with a real thread ---------------------------------------------------------------------------------------------


@dataclass
class Parts:
    """A keeper on a folder; after `breaks` every write and every new file fails, as on a full disk."""

    folder: Path
    file: RuleFile
    writer: Writer
    keeper: RuleKeeper
    records: Records

    def breaks(self) -> None:
        self.file.close()
        (self.folder / "new-rules.db").mkdir()

    def works_again(self) -> None:
        (self.folder / "new-rules.db").rmdir()

    async def stored(self) -> tuple[list[str], bool]:
        """The groups, and whether it was a stop."""
        await self.writer.call(lambda _: self.file.close())
        again = RuleFile(self.folder)
        again.close()
        return sorted(group for _, group, _ in again.rows), again.was_stopped


@pytest.fixture
async def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Parts]:
    monkeypatch.setattr(rule_keeper, "_RETRY_S", 0.05)
    monkeypatch.setattr(rule_keeper, "_LOOK_EVERY_S", 0.02)
    folder = tmp_path / "rules"
    folder.mkdir()
    loop = asyncio.get_running_loop()
    writer = Writer(open_journal(tmp_path / "journal"), loop)
    file = open_rule_file(folder)
    keeper, records = RuleKeeper(file, writer, loop, commit_delay_s=0.05), Records()
    keeper.watch(records)
    yield Parts(folder, file, writer, keeper, records)
    await writer.close()
    file.close()


async def test_a_stop_writes_everything_and_that_it_was_one(parts: Parts) -> None:
    """So that a window that goes on after it is whole."""
    parts.records.put(*(f"b{number:04}" for number in range(1500)))
    parts.records.put("w", is_urgent=False)

    await parts.keeper.stop()

    groups, was_stopped = await parts.stored()
    assert len(groups) == 1501
    assert was_stopped


async def test_the_next_start_takes_the_mark_of_the_stop_away(parts: Parts) -> None:
    """Else a kill after it would pass for a stop."""
    await parts.keeper.stop()
    file = open_rule_file(parts.folder)
    keeper = RuleKeeper(file, parts.writer, asyncio.get_running_loop(), commit_delay_s=0.05)
    keeper.watch(Records())
    file.close()

    assert keeper.was_stopped
    assert (await parts.stored())[1] is False


async def test_a_full_disk_is_said_once_and_everything_is_written_when_it_works_again(parts: Parts) -> None:
    """Rules run on from memory meanwhile."""
    parts.records.put("before")
    parts.keeper.attention()
    await eventually("it is written", lambda: parts.keeper.commits)
    with capture_logs() as said:
        parts.breaks()
        parts.records.put("during")
        parts.keeper.attention()
        await eventually("it is noticed", lambda: parts.keeper.problem)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(parts.keeper.run(), name="rules")
            noticed_at_s = parts.keeper.retry_at_s
            await eventually("it was tried again", lambda: parts.keeper.retry_at_s > noticed_at_s)
            parts.records.put("later")
            parts.works_again()
            await eventually("it works again", lambda: not parts.keeper.problem)
            running.cancel()

    assert [one["event"] for one in said] == ["rules.state_not_stored", "rules.state_stored_again"]
    assert await parts.stored() == (["before", "during", "later"], False)


async def test_a_stop_on_a_broken_disk_ends(parts: Parts) -> None:
    """The state of rules is no reason not to stop; and what is on disk does not pass for all."""
    parts.records.put("a")
    parts.breaks()

    await parts.keeper.stop()

    assert parts.keeper.problem
    parts.works_again()
    assert (await parts.stored())[1] is False
