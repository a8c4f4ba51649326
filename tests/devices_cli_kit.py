"""``fieldgate devices``, for its tests."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from fieldgate.cli.app import build_app
from fieldgate.errors import FieldgateError


def fieldgate(*args: str, stdin: str | bytes | None = None) -> Result:
    """The command in this process: the exit code and texts that a shell would get, but for errors of ours."""
    return CliRunner().invoke(build_app(), list(args), input=stdin)


def error_of(result: Result) -> str:
    assert isinstance(result.exception, FieldgateError), (result.exception, result.output)
    return str(result.exception)


def profile(folder: Path, text: str, name: str = "boiler.yaml") -> Path:
    path = folder / "devices.d" / name
    path.write_text(text, encoding="utf-8")
    return path
