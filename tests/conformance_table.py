"""The table of ``gateway/fieldgate/mqtt/CONFORMANCE.md``: read it, and fill in what the tests know.

``python tests/conformance_table.py`` writes the columns Status and Shown by anew from the ``clause`` markers. The rest
is written by hand: statements, who they concern, and in the note why one does not apply, deviates, or is not shown for
one of two sides (``client: …``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "gateway/fieldgate/mqtt/CONFORMANCE.md"
BY_HAND = ("not applicable", "deviates")
NOT_YET = "not shown yet"
STATUSES = ("tested", *BY_HAND, "missing")
PREFIXES = {"MQTT 5.0": "MQTT5", "MQTT 3.1.1": "MQTT311"}
WHERE = (
    "tests/conformance",
    "tests/gateway/mqtt",
    "tests/gateway/ingest",
    "tests/gateway/forward",
    "tests/gateway/net",
)
OURS = ("tests/gateway/forward", "tests/gateway/net")  # who connects to brokers
_ROW = re.compile(r"\| MQTT-(?P<id>[0-9.]+-[0-9]+) \|")


@dataclass(frozen=True)
class Row:
    """One statement. ``clause`` is how markers name it."""

    clause: str
    who: str
    statement: str
    status: str
    note: str
    tests: tuple[str, ...]

    @property
    def sides(self) -> tuple[str, ...]:
        return ("server", "client") if self.who == "both" else (self.who,)


def read_table(text: str) -> list[Row]:
    """Every row, in order."""
    rows: list[Row] = []
    prefix = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            prefix = PREFIXES.get(line[3:], "")
        if (match := _ROW.match(line)) and prefix:
            cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            if len(cells) != 6:
                raise ValueError(f"CONFORMANCE.md:{number}: {len(cells)} cells instead of 6")
            tests = tuple(re.findall(r"`([^`]+)`", cells[5]))
            rows.append(Row(f"{prefix}-{match['id']}", cells[1], cells[2], cells[3], cells[4], tests))
    return rows


def claims() -> dict[str, dict[str, bool]]:
    """What the tests claim: clause -> test -> whether it is expected to fail. Collects in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "claims.json")
        env = {**os.environ, "CLAUSES_TO": str(answer), "PYTHONPATH": str(ROOT / "tests")}
        env.pop("PYTEST_ADDOPTS", None)
        files = [
            file for where in WHERE for file in sorted((ROOT / where).glob("test_*.py")) if "clause" in file.read_text()
        ]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-qq",
            "-p",
            "clause_plugin",
            "-p",
            "no:cacheprovider",
        ]
        done = subprocess.run(
            [*command, *map(str, files)], cwd=ROOT, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode or not answer.exists():
            raise RuntimeError(f"the tests cannot be collected:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        by_test = json.loads(answer.read_text(encoding="utf-8"))
    by_clause: dict[str, dict[str, bool]] = {}
    for test, found in by_test.items():
        for clause, is_lacking in found.items():
            by_clause.setdefault(clause, {})[test] = is_lacking
    return by_clause


def side_of(test: str) -> str:
    """Whose behaviour a test shows; folders and the names of files say it."""
    folder, _, name = test.partition("::")[0].rpartition("/")
    return "client" if folder in OURS or "client_" in name or "source" in name else "server"


def filled(row: Row, claimed: dict[str, bool]) -> Row:
    """The row with its tests, and its status where that follows from them."""
    tests = tuple(sorted(claimed))
    if row.status in BY_HAND:
        return replace(row, tests=tests)
    shown = {side_of(test) for test in tests}
    is_shown = all(side in shown or f"{side}: " in row.note for side in row.sides) and shown & set(row.sides)
    is_whole = is_shown and not any(claimed.values())
    if is_whole:
        return replace(row, tests=tests, status="tested", note="" if row.note == NOT_YET else row.note)
    return replace(row, tests=tests, status="missing", note=row.note or NOT_YET)


def write_row(row: Row) -> str:
    """The line of a row."""
    tests = ", ".join(f"`{test}`" for test in row.tests)
    return (
        f"| MQTT-{row.clause.partition('-')[2]} | {row.who} | {row.statement} | {row.status} | {row.note} | {tests} |"
    )


def written(text: str, rows: list[Row]) -> str:
    """The file with the rows replaced, and the counts above them."""
    lines = iter(rows)
    out = []
    prefix = ""
    for line in text.splitlines():
        if line.startswith("## "):
            prefix = PREFIXES.get(line[3:], "")
        if prefix and _ROW.match(line):
            line = write_row(next(lines))
        elif line.startswith("Statements: "):
            line = f"Statements: {summary(rows, prefix)}."
        out.append(line)
    return "\n".join(out) + "\n"


def summary(rows: list[Row], prefix: str) -> str:
    """The count by status of one version."""
    counts = Counter(row.status for row in rows if row.clause.startswith(f"{prefix}-"))
    return f"{counts.total()}, of them " + ", ".join(f"{counts[status]} {status}" for status in STATUSES)


def main() -> None:
    text = TABLE.read_text(encoding="utf-8")
    claimed = claims()
    rows = [filled(row, claimed.get(row.clause, {})) for row in read_table(text)]
    TABLE.write_text(written(text, rows), encoding="utf-8")
    for name, prefix in PREFIXES.items():
        sys.stdout.write(f"{name}: {summary(rows, prefix)}\n")
    unknown = sorted(set(claimed) - {row.clause for row in rows})
    if unknown:
        sys.stdout.write(f"claimed and not in the table: {', '.join(unknown)}\n")


if __name__ == "__main__":
    main()
