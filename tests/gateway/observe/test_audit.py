"""The audit trail keeps who came in, who was kept out and what was told, within bounds that no flood can move."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from fieldgate.journal.audit_file import AuditFile, read_audit
from fieldgate.observe.audit import AuditTrail

AT = "2026-11-27T04:00:00.000+00:00"


def denied(user: str = "eve", address: str = "192.0.2.1") -> dict[str, Any]:
    return {"event": "client.not_admitted", "listener": "l", "user": user, "address": address, "reason": "bad_login"}


def taken(trail: AuditTrail, now_s: float, *, is_last: bool = False) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trail.take(at=AT, now_s=now_s, is_last=is_last).splitlines()]


def test_what_is_the_same_again_is_counted_and_told_once() -> None:
    """A device with an old password tries ten times a minute, for a year."""
    trail = AuditTrail()
    for second in range(0, 1_200, 6):
        trail.note(denied(), at=AT, now_s=float(second))

    entries = taken(trail, 1_200.0)
    assert [entry.get("count") for entry in entries] == [None, 99, None, 99]
    assert entries[1]["user"] == "eve"
    assert taken(trail, 9_999.0) == []


def test_a_flood_of_different_ones_has_a_rate_and_a_count() -> None:
    """Whoever guesses from a thousand addresses must neither wear the flash nor push out what he has done before."""
    trail = AuditTrail()
    for number in range(10_000):
        trail.note(denied(user=f"u{number}"), at=AT, now_s=number / 1_000)

    entries = taken(trail, 10.0)
    kept = [entry for entry in entries if entry["event"] == "client.not_admitted"]
    assert 100 <= len(kept) <= 110
    assert entries[-1] == {
        "at": AT, "event": "audit.left_out", "of": "client.not_admitted", "count": 10_000 - len(kept),
    }  # fmt: skip
    trail.note({"event": "config.reloaded"}, at=AT, now_s=10.0)
    assert [entry["event"] for entry in taken(trail, 10.0)] == ["config.reloaded"], "nothing else suffers"


def test_who_only_looks_leaves_no_trace_and_who_changes_something_does() -> None:
    """A request that nobody has classified yet is kept."""
    trail = AuditTrail()
    asked: list[dict[str, str]] = [
        {"request": "status"}, {"request": "log.level"}, {"request": "log.level", "level": "debug"},
        {"request": "rules.resolve", "rule": "hot"}, {"request": "something.new"},
    ]  # fmt: skip
    for one in asked:
        trail.note({"event": "control.asked", **one}, at=AT, now_s=0.0)
    trail.note({"event": "uplink.connected"}, at=AT, now_s=0.0)

    assert [entry["request"] for entry in taken(trail, 0.0)] == ["log.level", "rules.resolve", "something.new"]


def test_what_waits_is_bounded_while_nothing_can_be_written() -> None:
    """A full disk for a month."""
    trail = AuditTrail()
    for number in range(5_000):
        trail.note({"event": "config.refused", "problem": f"{number} " + "x" * 1_000}, at=AT, now_s=float(number))

    lines = trail.take(at=AT, now_s=0.0)
    assert len(lines) <= 64 << 10
    assert trail.left_out["config.refused"] == 5_000 - lines.count(b"\n")
    trail.give_back(lines)
    assert trail.take(at=AT, now_s=0.0) == lines


def test_the_files_are_private_bounded_and_read_in_their_order(tmp_path: Path) -> None:
    """It is turned over when it is full, and never larger than it may be; a line that was cut is passed over."""
    file = AuditFile(tmp_path, max_bytes=2_000)
    for number in range(100):
        assert file.append(json.dumps({"at": AT, "event": "e", "n": number}).encode() + b"\n")
    with (tmp_path / "audit.jsonl").open("ab") as cut:
        cut.write(b'{"at": "2026')

    numbers = [entry["n"] for entry in read_audit(tmp_path)]
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) >= 15
    assert sum(sizes) <= 2_020
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    """Nobody makes the gateway write elsewhere."""
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    file = AuditFile(tmp_path)

    assert not file.append(b"{}\n")
    assert "audit.jsonl" in file.problem
    assert not (tmp_path / "elsewhere").exists()
