"""Print what forwarding costs per event without the kernel: take, encode, frame, and book the PUBACKs.

    python tests/bench/forward_speed.py [--events 200000] [--batch 50] [--aliases 10]

Every format in both protocol versions (``--aliases``: Topic Alias Maximum in MQTT 5); ``acks`` in order, as
servers send them, and, in MQTT 5, as mosquitto words them while nobody subscribes (0x10).
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Sequence
from random import Random

from fieldgate.config.uplink import UplinkConfig
from fieldgate.forward.pump import Pump
from fieldgate.forward.uplink import Shipment
from fieldgate.mqtt.client_session import ClientSession
from fieldgate.mqtt.client_settings import ClientSettings
from fieldgate.mqtt.codec import PUBACKS, encode
from fieldgate.mqtt.packets import ConnAck, Properties
from fieldgate_devices.event import Address, Event, Stamp

WINDOW = 1000


class Feed:
    """The least that a feed can do."""

    def __init__(self, batches: Sequence[list[Event]]) -> None:
        self._batches = deque((batch, 0) for batch in batches)
        self.delivered_count = 0

    def take(self, max_events: int) -> list[Shipment]:
        shipments = []
        while self._batches and max_events > 0:
            batch, start = self._batches.popleft()
            stop = min(len(batch), start + max_events)
            shipments.append(Shipment(batch, batch, start, stop))
            max_events -= stop - start
            if stop < len(batch):
                self._batches.appendleft((batch, stop))
        return shipments

    def delivered(self, batch: object, start: int, stop: int) -> None:
        self.delivered_count += stop - start

    def parked(self, batch: object, start: int, stop: int, reason: str) -> None:
        raise AssertionError(reason)

    def expired(self, batch: object, start: int, stop: int) -> None:
        raise AssertionError

    def joined(self, pieces: Sequence[tuple[object, int, int]]) -> None:
        """Nobody asks."""

    def put_back(self) -> None:
        pass

    def is_down(self, down: bool) -> None:
        pass


def make_batches(count: int, size: int) -> list[list[Event]]:
    """Events of 120 bytes, each batch with a stamp of its own, four devices."""
    batches = []
    for number in range(count // size):
        address = Address(f"site.a.dev{number % 4}", "message", f"site/a/dev{number % 4}")
        stamp = Stamp(0x1234_5678_9ABC_DEF0, 1_790_000_000_000_000_000 + number, number)
        first = number * size + 1
        batches.append(
            [
                Event(address, stamp, b'{"n":%d,"pad":"%b"}' % (seq, b"x" * 105), True, seq * 7919, 1, seq)
                for seq in range(first, first + size)
            ]
        )
    return batches


def measure(form: str, version: int, ack: str, *, events: int, batch: int, aliases: int) -> tuple[float, float, float]:
    """Return microseconds of CPU per event for sending and for the acknowledgements, and bytes per event."""
    feed = Feed(make_batches(events, batch))
    config = UplinkConfig.model_validate({"mqtt": {"url": "mqtt://127.0.0.1", "window": WINDOW}, "format": form})
    session = ClientSession(ClientSettings("bench", window=WINDOW), delivered=feed.delivered)
    pump = Pump(config, feed, session, gateway="gw", os_boot_of=lambda _run: None, rng=Random(1))
    session.connect(version, 0.0)
    session.output()
    properties = Properties(topic_alias_maximum=aliases) if aliases and version == 5 else None
    session.received(encode(ConnAck(properties=properties), version), 0.0)
    pump.connected(is_session_present=False)
    sending = acking = 0.0
    clock = time.process_time
    while feed.delivered_count < events:
        began = clock()
        pump.fill(1000.0)
        b"".join(session.output())
        sent = clock()
        acks = [PUBACKS[4 * run.first_id - 4 : 4 * (run.first_id + run.count) - 4] for run in session.in_flight.sent]
        chunk = b"".join(acks)
        if ack == "0x10":
            chunk = b"".join(b"\x40\x03" + chunk[at + 2 : at + 4] + b"\x10" for at in range(0, len(chunk), 4))
        got = clock()
        session.received(chunk, 1000.0)
        pump.acknowledged()
        acking += clock() - got
        sending += sent - began
    return sending / events * 1e6, acking / events * 1e6, pump.size_bytes / events


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--aliases", type=int, default=0)
    options = parser.parse_args()
    print(f"{'format':18} {'MQTT':6} {'acks':8} {'send':>6} {'ack':>6} {'sum':>6} {'bytes':>6}  per event, best of 3")  # noqa: T201
    for form in ("raw", "cloudevents", "cloudevents-batch", "cloudevents-binary"):
        for version, ack in ((4, "in order"), (5, "in order"), (5, "0x10")):
            if form == "cloudevents-binary" and version == 4:
                continue
            rounds = [
                measure(form, version, ack, events=options.events, batch=options.batch, aliases=options.aliases)
                for _ in range(3)
            ]
            send, acks, size = min(rounds, key=lambda one: one[0] + one[1])
            name = "3.1.1" if version == 4 else "5"
            print(f"{form:18} {name:6} {ack:8} {send:6.2f} {acks:6.2f} {send + acks:6.2f} {size:6.0f}")  # noqa: T201


if __name__ == "__main__":
    main()
