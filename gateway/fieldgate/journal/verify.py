"""Walk over every block of a journal file and check all that can be checked, a step at a time."""

from __future__ import annotations

from typing import Final

from fieldgate.journal.blockfile import BlockFile
from fieldgate.journal.blocks import Checked
from fieldgate.journal.holes import find_hole
from fieldgate.journal.reading import decode_row
from fieldgate.journal.records import Loss, VerifyReport

__all__ = ["Verification"]

_LANES: Final = range(3)
_LANE_NAMES: Final = ("high", "normal", "low")
_ROWS_A_STEP: Final = 256
_MAX_PROBLEMS: Final = 100


class Verification:
    """Blocks removed while the walk is under way are no problem; blocks added meanwhile are walked as well."""

    def __init__(self, file: BlockFile) -> None:
        self._file = file
        self._at = [file.floor_hint(lane) for lane in _LANES]
        self._places = [(hint.ordinal, hint.events_before) for hint in self._at]
        self._after_no = 0
        self._previous: tuple[int, int] | None = None
        self._blocks = 0
        self._events = 0
        self._body_bytes = 0
        self._problems: list[str] = []
        self._is_done = False

    def step(self) -> bool:
        """Look at some hundred blocks more; answers whether that was all."""
        ahead = [self._file.next_values(lane, self._after_no) for lane in _LANES]
        for _ in range(_ROWS_A_STEP):
            found = [(values[0], lane, values[1]) for lane, values in enumerate(ahead) if values is not None]
            if not found:
                self._finish()
                return True
            block_no, lane, checked = min(found, key=lambda item: item[0])
            self._check(block_no, lane, checked)
            self._after_no = block_no
            ahead[lane] = self._file.next_values(lane, block_no)
        return False

    def _check(self, block_no: int, lane: int, checked: Checked | None) -> None:
        name = f"block {block_no} ({_LANE_NAMES[lane]})"
        if checked is None:
            self._problem(f"{name}: the checksum of its head is wrong")
            self._previous = None
            return
        row = checked.row
        self._blocks += 1
        self._events += row.event_count
        self._body_bytes += row.size_bytes
        if isinstance(decode_row(checked, epoch=self._file.epoch, decompressor=self._file.decompressor), Loss):
            self._problem(f"{name}: its {row.event_count} events cannot be read")
        if self._previous is not None and self._previous[0] == block_no - 1 and self._previous[1] != row.prev_crc:
            self._problem(f"{name}: does not continue the block before it")
        self._previous = (block_no, row.crc)
        self._check_place(lane, row.ordinal, row.events_before, f"before {name}")
        self._places[lane] = (row.ordinal, row.events_before + row.event_count)

    def _check_place(self, lane: int, ordinal: int, events_before: int, where: str) -> None:
        floor = self._file.floor(lane)
        after, events = max(self._places[lane], (floor.ordinal, floor.events))
        if ordinal == after + 1 and events_before != events:
            self._problem(f"{where}: {events} events counted, {events_before} stated")
        hole = find_hole(
            after_ordinal=after,
            events_until=events,
            next_ordinal=ordinal,
            events_before=events_before,
            gone=self._file.gone(lane),
        )
        if hole is not None:
            missing = hole.last_ordinal - hole.first_ordinal + 1
            self._problem(f"{where}: {missing} blocks with {hole.events} events are missing without a record")

    def _finish(self) -> None:
        if not self._is_done:
            self._is_done = True
            for lane, tail in enumerate(self._file.tails):
                self._check_place(lane, tail.ordinal + 1, tail.events, f"at the end of lane {_LANE_NAMES[lane]}")

    def _problem(self, text: str) -> None:
        if len(self._problems) < _MAX_PROBLEMS:
            self._problems.append(text)

    def report(self) -> VerifyReport:
        """What was found so far."""
        floors = [self._file.floor(lane) for lane in _LANES]
        return VerifyReport(
            blocks=self._blocks,
            events=self._events,
            body_bytes=self._body_bytes,
            removed_blocks=sum(blocks for floor in floors for blocks, _ in floor.removed.values()),
            booked_losses=sum(len(self._file.gone(lane)) - len(self._file.singles(lane)) for lane in _LANES),
            problems=tuple(self._problems),
        )
