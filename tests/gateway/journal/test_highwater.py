"""The high-water file remembers how far the journal had come, through torn writes."""

from __future__ import annotations

from pathlib import Path

from fieldgate.journal import highwater
from fieldgate.journal.records import Commit
from journal_kit import (
    SECOND,
    block,
    flip,
    open_journal,
    write,
)


def test_the_mark_is_saved_after_a_checkpoint_every_ten_seconds_and_at_the_end(tmp_path: Path) -> None:
    """Each save costs a sync, so not more; a tail older than this is never lost unnoticed."""

    def saved() -> int:
        file = highwater.HighWaterFile(tmp_path / "highwater")
        file.close()
        return file.last.block_no if file.last else 0

    journal = open_journal(tmp_path)
    seen = []
    for n, at_s in enumerate([100, 101, 109, 110.5, 111, 120, 121], start=1):
        write(journal, block([n]), at_s=at_s)
        seen.append(saved())
    journal.commit(Commit(now_boot_ns=122 * SECOND))
    journal.close()

    assert seen == [1, 1, 1, 4, 4, 4, 7]
    assert saved() == 7


def test_either_slot_may_be_torn(tmp_path: Path) -> None:
    """A power cut during the save leaves the other slot."""
    path = tmp_path / "highwater"
    mark = highwater.HighWater(0, 1, 2, 1, 3, 4, 5, 6, (highwater.LaneMark(),) * 3)
    file = highwater.HighWaterFile(path)
    file.save(mark)
    file.save(mark)
    file.close()
    whole = path.read_bytes()

    for offset in [*range(60), *range(2048, 2108)]:
        path.write_bytes(whole)
        flip(path, offset)
        torn = highwater.HighWaterFile(path)
        assert torn.last is not None
        assert torn.last.counter in (1, 2)
        torn.close()
    for size in range(0, 4096, 64):
        path.write_bytes(whole[:size])
        highwater.HighWaterFile(path).close()
