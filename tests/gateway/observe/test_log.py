"""The log: the names are the listed ones, floods are thinned out, and a reader that stands still holds up nobody."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fieldgate
from command_kit import log_lines
from fieldgate.observe.line_budget import LineBudget
from fieldgate.observe.log import NAMES
from fieldgate.observe.log_sinks import PipeSink
from fieldgate.observe.log_writer import LogWriter

SOURCE = Path(fieldgate.__file__).parent
METHODS = {"debug", "info", "warning", "error", "exception", "critical"}


def names_used(source: str) -> Iterator[str]:
    """Every first argument of a log call: texts, also behind ``x if … else y``, a variable, or a renamed method."""
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        assigned: dict[str, list[ast.expr]] = {}
        methods = {"tell"}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                assigned.setdefault(node.targets[0].id, []).append(node.value)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and node.args and _is_log_call(node.func, methods):
                if isinstance(node.func, ast.Name) and " " in ast.unparse(node.args[0]).replace(" if ", ""):
                    continue  # a ``tell`` of something else, which has sentences
                yield from _texts(node.args[0], assigned)


def _is_log_call(called: ast.expr, methods: set[str]) -> bool:
    if isinstance(called, ast.Name):
        return called.id in methods
    return (
        isinstance(called, ast.Attribute)
        and called.attr in METHODS
        and isinstance(called.value, ast.Name)
        and called.value.id in ("log", "_log")
    )


def _texts(value: ast.expr, assigned: dict[str, list[ast.expr]]) -> Iterator[str]:
    match value:
        case ast.Constant(value=str() as text):
            yield text
        case ast.IfExp():
            yield from _texts(value.body, assigned)
            yield from _texts(value.orelse, assigned)
        case ast.Name():
            for one in assigned.get(value.id, []):
                yield from _texts(one, assigned)
        case ast.JoinedStr():
            raise AssertionError(f"{ast.unparse(value)}: a log name must be written out, so that it can be found")


def test_the_listed_names_are_exactly_those_in_use() -> None:
    """Whoever writes an alert on a name must find it in the list, and must not wait for one that never comes."""
    used = {name for file in SOURCE.rglob("*.py") for name in names_used(file.read_text(encoding="utf-8"))}

    assert used == set(NAMES)
    assert all(len(meaning.split()) >= 3 for meaning in NAMES.values())


def test_the_search_for_names_would_find_one() -> None:
    """The mutant: a name of its own, behind a condition in a variable."""
    source = "def f(x):\n n = 'a.b'\n m = n if x else 'c.d'\n log.info(m, x=1)\n _log.error('e.f')\n"

    assert set(names_used(source)) == {"a.b", "c.d", "e.f"}
    with pytest.raises(AssertionError, match="written out"):
        list(names_used("def f(x):\n    log.info(f'a.{x}')\n"))


def test_a_flood_becomes_a_burst_and_a_trickle_that_says_how_much_it_left_out() -> None:
    """FAULTS 83: 10,000 lines a second fill a card in a day."""
    budget = LineBudget(burst=3, per_s=1)

    taken = [budget.take("a", 0.0) for _ in range(10)]

    assert taken == [0, 0, 0, *[None] * 7]
    assert budget.take("b", 0.0) == 0, "another kind has lines of its own"
    assert budget.take("a", 0.9) is None
    assert budget.take("a", 1.0) == 8
    assert [budget.take("a", 1000.0) for _ in range(4)] == [0, 0, 0, None]


def test_kinds_without_end_take_no_memory_without_end() -> None:
    """Kinds hold names from outside, such as a listener's."""
    budget = LineBudget(burst=1)
    for number in range(5_000):
        assert budget.take(number, 0.0) == 0
    assert len(budget._kinds) <= 1_000


def test_a_reader_that_stands_still_holds_up_nobody_and_is_told_what_it_missed() -> None:
    """FAULTS 83: a blocked pipe must not stop the gateway; what was dropped is counted, not hidden."""
    reader, end = os.pipe()
    writer = LogWriter(PipeSink(end), max_waiting_bytes=10_000)
    told: list[int] = []
    writer.on_dropped = told.append
    began_s = time.monotonic()

    for number in range(5_000):
        writer.write(f"{number:>99}\n")
    took_s = time.monotonic() - began_s
    received = bytearray()
    draining = threading.Thread(target=lambda: _drain(reader, received))
    draining.start()
    writer.close(deadline_s=5)
    os.close(end)
    draining.join(5)
    os.close(reader)

    numbers = [int(line) for line in received.decode().split()]
    assert took_s < 1
    assert numbers[:100] == list(range(100)), "what fits is kept"
    assert numbers == sorted(set(numbers)), "in order, each once"
    assert sum(told) == 5_000 - len(numbers) > 0


def _drain(fd: int, received: bytearray) -> None:
    while chunk := os.read(fd, 65536):
        received += chunk


def test_close_does_not_wait_for_a_reader_that_stands_still() -> None:
    """The process must end all the same."""
    reader, end = os.pipe()
    writer = LogWriter(PipeSink(end))
    writer.write("x" * 200_000)
    began_s = time.monotonic()

    writer.close(deadline_s=0.2)

    assert time.monotonic() - began_s < 5
    os.close(reader)  # lets the thread go: its write fails now
    writer._thread.join(5)
    os.close(end)
    assert not writer._thread.is_alive()


@pytest.mark.parametrize("make", ["closed", "non_blocking"])
def test_an_odd_descriptor_costs_lines_at_most(make: str) -> None:
    """Who starts us may close standard error, or share it with a program that made it non-blocking."""
    reader, end = os.pipe()
    if make == "non_blocking":
        os.set_blocking(end, False)
    else:
        os.close(reader)
    writer = LogWriter(PipeSink(end))
    writer.write("a" * 100_000)
    received = bytearray()
    if make == "non_blocking":
        draining = threading.Thread(target=lambda: _drain(reader, received))
        draining.start()
    writer.write("b\n")
    writer.close(deadline_s=5)
    os.close(end)

    assert not writer._thread.is_alive()
    if make == "non_blocking":
        draining.join(5)
        os.close(reader)
        assert received == b"a" * 100_000 + b"b\n"


PROGRAM = """
import asyncio, logging, structlog, warnings
from fieldgate.observe.log import configure
writer = configure(level="info")
log = structlog.get_logger("fieldgate")
log.debug("gateway.started", hidden=1)
log.info("gateway.started", text='two "words"\\nand a line', uplink=None)
for number in range(80):
    log.info("client.connected", listener="l", number=number)
try:
    1 / 0
except ZeroDivisionError:
    log.error("task.failed", task="t", exc_info=True)
logging.getLogger("asyncio").error("socket trouble")
warnings.warn("deprecated")
writer.close(deadline_s=2)
"""


def test_every_line_is_one_line_with_a_time_a_level_and_a_name() -> None:
    """Also what Python and its libraries have to say, and a traceback."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=20, check=True)

    lines = log_lines(ended.stderr)
    assert len(lines) == len(ended.stderr.splitlines())
    assert lines[0] | {"timestamp": ""} == {
        "timestamp": "", "level": "info", "event": "gateway.started", "text": 'two "words"\nand a line', "uplink": "",
    }  # fmt: skip
    assert sum(line["event"] == "client.connected" for line in lines) == 50
    assert "ZeroDivisionError" in lines[-3]["exception"]
    assert lines[-2]["library"] == "asyncio"
    assert "deprecated" in lines[-1]["problem"]
