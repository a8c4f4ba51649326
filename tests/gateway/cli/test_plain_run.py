"""``fieldgate run`` without typer: what is understood means what it means there, and all else is left to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fieldgate.cli import main
from fieldgate.cli.app import build_app
from fieldgate.cli.plain_run import PlainRun, plain_run

PLAIN = [
    ["run"],
    ["run", "-c", "a.yaml"],
    ["run", "--config", "a b.yaml"],
    ["run", "--config=a=b.yaml"],
    ["run", "--log-level", "debug"],
    ["run", "--log-level=warning", "-c", "./a.yaml"],
]
NOT_PLAIN = [
    [],
    ["check"],
    ["--version"],
    ["run", "--help"],
    ["run", "-h"],
    ["run", "-c"],
    ["run", "-c", ""],
    ["run", "-c=a.yaml"],
    ["run", "-ca.yaml"],
    ["run", "--config="],
    ["run", "-c", "--log-level"],
    ["run", "-c", "a.yaml", "--config", "b.yaml"],
    ["run", "--log-level", "loud"],
    ["run", "--verbose"],
    ["run", "a.yaml"],
    ["run", "--", "-c"],
]


def asked_of_typer(words: list[str], monkeypatch: pytest.MonkeyPatch) -> list[PlainRun]:
    asked: list[PlainRun] = []

    def serve(path: Path | None, *, log_level: str) -> int:
        asked.append(PlainRun(path, log_level))
        return 7

    monkeypatch.setattr("fieldgate.cli.serve.serve", serve)
    CliRunner().invoke(build_app("run"), words)
    return asked


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_what_is_understood_is_what_typer_understands(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two readers of one command line must not come to differ."""
    assert [plain_run(words)] == asked_of_typer(words, monkeypatch)


@pytest.mark.parametrize("words", NOT_PLAIN, ids=" ".join)
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    """It has the help and the messages."""
    assert plain_run(words) is None


@pytest.mark.parametrize("words", [["run", "-c", "a.yaml"], ["run", "-ca.yaml"]], ids=["plain", "by typer"])
def test_the_gateways_exit_code_is_the_commands(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd does not start it again after 78."""
    monkeypatch.setattr("fieldgate.cli.serve.serve", lambda path, *, log_level: 78)
    monkeypatch.setattr("sys.argv", ["fieldgate", *words])

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 78
