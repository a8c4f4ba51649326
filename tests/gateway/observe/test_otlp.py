"""Spans through OpenTelemetry's own exporter to a real receiver; what it says of failures tells no secret."""

from __future__ import annotations

import pytest

from fieldgate.observe.otlp import OtlpCollector
from fieldgate.observe.span import Span
from otlp_kit import OtlpReceiver
from ports import free_port

TRACE, SPAN, PARENT = "a" * 32, "b" * 16, "c" * 16


def collector_at(url: str, headers: dict[str, str] | None = None) -> OtlpCollector:
    return OtlpCollector(f"{url}/v1/traces", gateway="plant-7", headers=headers or {}, ca=None)


def test_a_span_arrives_with_its_ids_times_links_and_error() -> None:
    """They are ours, not the SDK's: a span of a week ago keeps its parent."""
    span = Span(
        "forward", TRACE, SPAN, PARENT, 1_000, 2_000, "producer", {"fieldgate.uplink": "cloud"},
        (("d" * 32, "e" * 16),), "rojo=1", "parked: too large",
    )  # fmt: skip
    with OtlpReceiver() as receiver:
        assert (
            collector_at(receiver.url, {"X-Tenant": "plant"}).send([span, Span("receive", TRACE, "f" * 16, "", 1, 2)])
            == ""
        )

    got, first = receiver.spans
    assert (got.trace, got.id, got.parent, got.start_ns, got.end_ns) == (TRACE, SPAN, PARENT, 1_000, 2_000)
    assert (got.facts, got.links, got.state) == ({"fieldgate.uplink": "cloud"}, (("d" * 32, "e" * 16),), "rojo=1")
    assert (got.is_failed, got.problem, got.service) == (True, "parked: too large", "plant-7")
    assert (first.trace, first.id, first.parent, first.is_failed) == (TRACE, "f" * 16, "", False)
    assert receiver.headers["x-tenant"] == "plant"


@pytest.mark.parametrize("is_there", [True, False])
def test_why_it_failed_is_said_without_the_path_and_the_headers(
    is_there: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """A URL with a token in its path is common, and a line of the log goes into tickets."""
    with OtlpReceiver() as receiver:
        receiver.status = 403
        url = receiver.url if is_there else f"http://127.0.0.1:{free_port()}"
        collector = collector_at(f"{url}/t0ken-of-tenant", {"Authorization": "Bearer s3cret"})

        said = collector.send([Span("receive", TRACE, SPAN, "", 1, 2)])

    assert ("403" if is_there else "refused") in said
    for secret in ("t0ken", "s3cret"):
        assert secret not in said
    assert capfd.readouterr().err == "", "the library itself says nothing"
