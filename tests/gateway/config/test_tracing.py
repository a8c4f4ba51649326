"""``tracing``: what it needs of the machine, and what makes no sense in it, with file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldgate.config import load, tracing_checks
from fieldgate.errors import ConfigError


def problems(folder: Path, text: str) -> str:
    file = folder / "fieldgate.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    return str(caught.value).replace(f"{file}:", "")


def test_without_the_extra_a_collector_is_refused_and_the_answer_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an operator would wait for spans that nobody makes."""
    monkeypatch.setattr(tracing_checks, "OTEL_PACKAGES", ("opentelemetry-of-nobody",))

    said = problems(tmp_path, "tracing:\n  otlp: http://127.0.0.1:4318\n")

    assert said == (
        "2:9: otlp: needs opentelemetry-of-nobody, not installed here; pip install 'fieldgate[otel]' brings them"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{sample: 0.5}", "1:19: sample: has no meaning without otlp; write otlp: http://127.0.0.1:4318"),
        ("{otlp: 'http://127.0.0.1:4318', ca: ca.pem}", "ca: has no meaning for http://"),
        ("{otlp: 'http://127.0.0.1:4318/?a=1'}", "otlp: has a query"),
        ("{otlp: 'grpc://127.0.0.1:4317'}", "is not the URL of an HTTP server"),
        ("{otlp: 'http://127.0.0.1:4318', sample: 2}", "sample"),
    ],
)
def test_what_cannot_work_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """A key that is accepted and ignored is worse than none."""
    (tmp_path / "ca.pem").write_text("x")

    assert said in problems(tmp_path, f"tracing: {text}\n")


def test_a_collector_elsewhere_without_tls_is_warned_of(tmp_path: Path) -> None:
    """Topics tell what a plant does."""
    file = tmp_path / "fieldgate.yaml"
    file.write_text("tracing: {otlp: 'http://otel.example:4318'}\n")
    assert any("unencrypted to 'otel.example'" in one for one in load(file).warnings)

    file.write_text("tracing: {otlp: 'http://127.0.0.1:4318'}\n")
    assert not any("otlp" in one for one in load(file).warnings)
