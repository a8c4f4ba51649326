"""The benchmark's sink is the judge of every run: it must see what a gateway does wrong, against a real broker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from bench.gateways import Place, Upstream
from bench.processes import Load, Sunk, build_load, find_mosquitto

pytestmark = [
    pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler"),
    pytest.mark.skipif(not shutil.which("mosquitto", path="/usr/sbin:/usr/bin"), reason="needs mosquitto"),
]


@pytest.fixture(scope="module")
def load() -> Load:
    """Provide the compiled generator."""
    return Load(build_load())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Upstream]:
    """Run a plain mosquitto."""
    place = Place(mosquitto=find_mosquitto(), fieldgate=Path("none"), work=tmp_path)
    with Upstream(place=place, folder=tmp_path).running() as upstream:
        yield upstream


def sink_sees(load: Load, broker: Upstream, payloads: list[str], **options: float) -> Sunk:
    """Publish payloads one by one with paho and return what the sink says of them."""
    sink = load.sink(broker.port, i=0.3, l=0.1, **options)
    sink.wait_ready()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for payload in payloads:
        client.publish("any", payload, qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()
    return sink.result()


def test_a_whole_run_is_complete_on_both_ends(load: Load, broker: Upstream) -> None:
    """The generator must not accuse a path that is in order; 70,000 per connection wraps the packet ids."""
    sink = load.sink(broker.port, n=70_000, d=1)
    sink.wait_ready()

    sent, got = load.send(broker.port, n=70_000, c=1, d=1).result(), sink.result()

    assert (sent["acked"], sent["ack_disorder"]) == (70_000, 0)
    assert (got["unique"], got["missing"], got["duplicates"], got["disorder"]) == (70_000, 0, 0, 0)
    assert got["payload_bytes"] == 70_000 * 120


def test_the_sink_sees_loss_repetition_disorder_and_strangers(load: Load, broker: Upstream) -> None:
    """0 and 2 are of one device, 1 and 3 of the other; 4 never comes, 0 comes late and twice, 99 is a stranger."""
    order = (2, 0, 0, 1, 3, 99)

    got = sink_sees(load, broker, [f'{{"seq":{seq},"ts":1}}' for seq in order], n=5, d=2)

    assert (got["unique"], got["missing"], got["duplicates"]) == (4, 1, 1)
    assert (got["disorder"], got["foreign"]) == (1, 1)


def test_events_of_a_batch_are_counted_one_by_one(load: Load, broker: Upstream) -> None:
    """`cloudevents-batch` sends arrays, with white space where the encoder likes it."""
    batch = '[{"id":"a-1","data":{"seq":0,"ts":5}},{"id":"a-2","data":{"seq": 1, "ts": 6}}]'

    got = sink_sees(load, broker, [batch], n=2)

    assert (got["unique"], got["packets"], got["missing"]) == (2, 1, 0)


def test_latency_counts_from_the_schedule(load: Load, broker: Upstream) -> None:
    """Open loop: an event that had to wait for its turn is late, and says so."""
    sink = load.sink(broker.port, n=100)
    sink.wait_ready()

    sent, got = load.send(broker.port, n=100, r=500).result(), sink.result()

    span_s = (sent["last_ack_us"] - sent["start_us"]) / 1e6
    assert 0.19 < span_s < 1
    latency_ms = got["main"]["latency_max_ms"]
    assert latency_ms is not None
    assert 0 < latency_ms < 1000


def test_live_events_are_told_from_a_backlog(load: Load, broker: Upstream) -> None:
    """The drain scenario judges both, each with its own order."""
    payloads = [f'{{"seq":{seq},"ts":1}}' for seq in (3, 0, 1, 2)]

    got = sink_sees(load, broker, payloads, n=4, d=1, S=3)

    assert (got["main"]["unique"], got["live"]["unique"], got["disorder"]) == (3, 1, 0)
