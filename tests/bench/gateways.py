"""The two sides of the comparison, and the upstream broker: how each is configured and started.

The bridge is mosquitto's own, with everything off that would slow it: no persistence, no limits, no log.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.processes import BenchError, Child, free_port

__all__ = ["BRIDGE", "CONFIGS", "Gateway", "Place", "Setup", "Upstream"]

ROOT = Path(__file__).resolve().parents[2]

BROKER_CONF = """\
user {user}
listener {port} 127.0.0.1
allow_anonymous true
log_dest stderr
log_type error
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
"""

BRIDGE_CONF = """\
connection up
address 127.0.0.1:{upstream_port}
topic # out 1
cleansession false
restart_timeout 1 2
try_private false
notifications false
keepalive_interval 10
"""

FIELDGATE_CONF = """\
gateway: {{id: bench}}
listen:
  - {{mqtt: "127.0.0.1:{port}"{limits}}}
uplinks:
  up:
    mqtt:
      url: mqtt://127.0.0.1:{upstream_port}
      topic: fieldgate/{{gateway}}/{{device}}/{{type}}
      status_topic: off
    format: {format}
    drain: {drain}
journal: {{path: "{state}", durability: {level}}}
{extra}
"""


PROFILE = """\
profile: sensor
match: {mqtt: "sensors/{device}/telemetry"}
fields:
  seq: {type: int, min: 0}
  ts: {type: int, unit: µs, min: 0}
  temperature: {type: float, unit: °C, min: -40, max: 85}
  humidity: {type: float, unit: "%", min: 0, max: 100}
  name: {type: string, from: device}
  note: {type: string}
"""

# Ten rules, as the design's targets want it: one is asked about each event, and its condition is false.
RULES = "rules:\n" + "".join(
    f"""\
  - id: {name}
    on: {{device: "{devices}", profile: sensor}}
    when: temperature > 84 and humidity > 90 and note != "test"
    do:
      - alert: {{severity: critical, text: "{{device}} is at {{temperature:.1f}} °C"}}
"""
    for name, devices in [("asked", "*"), *((f"other-{number}", f"pump-{number}") for number in range(9))]
)


@dataclass(frozen=True, slots=True)
class Setup:
    """One gateway configuration under test."""

    format: str
    level: str
    drain: str = "strict"

    @property
    def name(self) -> str:
        """How results call it."""
        return "bridge" if self == BRIDGE else f"{self.format}/{self.level}"

    def with_drain(self, drain: str) -> Setup:
        """Return the same with another drain order."""
        return replace(self, drain=drain)


BRIDGE = Setup(format="raw", level="none")
CONFIGS = tuple(
    Setup(format=format_, level=level)
    for format_ in ("raw", "cloudevents", "cloudevents-batch")
    for level in ("relay", "journal")
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are on this machine."""

    mosquitto: Path
    fieldgate: Path
    work: Path

    def require_fieldgate(self) -> None:
        """Say now, not after minutes, that the gateway is missing."""
        if not os.access(self.fieldgate, os.X_OK):
            raise BenchError(f"no gateway at {self.fieldgate}: run `make venv`, or set FIELDGATE to the executable")


def _broker_conf(port: int) -> str:
    return BROKER_CONF.format(port=port, user=pwd.getpwuid(os.geteuid()).pw_name)


class Gateway:
    """A gateway with a local MQTT port and one uplink; its state folder survives a restart.

    ``limits`` are further keys of its listener.
    """

    def __init__(self, setup: Setup, *, place: Place, folder: Path, upstream_port: int, limits: str = "") -> None:
        self.port = free_port()
        self.setup = setup
        if setup == BRIDGE:
            conf = folder / "bridge.conf"
            conf.write_text(_broker_conf(self.port) + BRIDGE_CONF.format(upstream_port=upstream_port))
            self._child = Child("bridge", [str(place.mosquitto), "-c", str(conf)])
        else:
            (folder / "devices.d").mkdir()
            (folder / "devices.d" / "sensor.yaml").write_text(PROFILE)
            (folder / "rules.d").mkdir()
            (folder / "rules.d" / "bench.yaml").write_text(RULES)
            conf = folder / "fieldgate.yaml"
            conf.write_text(
                FIELDGATE_CONF.format(
                    port=self.port,
                    upstream_port=upstream_port,
                    format=setup.format,
                    level=setup.level,
                    drain=setup.drain,
                    state=folder / "state",
                    limits=f", {limits}" if limits else "",
                    extra=os.environ.get("FIELDGATE_EXTRA", ""),
                )
            )
            self._child = Child("fieldgate", [str(place.fieldgate), "run", "-c", str(conf)])

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._child.start()
        self._child.wait_listening(self.port, within_s=60)

    def stop(self) -> int:
        """Stop it; return the bytes it wrote towards storage in its life."""
        return self._child.stop()

    @contextmanager
    def running(self) -> Iterator[Gateway]:
        """Run it for the length of a ``with`` block; an error that ends the block tells what it printed."""
        try:
            self.start()
            yield self
        except BenchError as error:
            raise type(error)(f"{error}\n{self._child.last_words()}") from error
        finally:
            self.stop()


class Upstream:
    """The broker that both sides forward to; ``is_durable`` keeps the sink's session over a restart."""

    def __init__(self, *, place: Place, folder: Path, is_durable: bool = False) -> None:
        self.port = free_port()
        conf = folder / "upstream.conf"
        durable = f"persistence true\npersistence_location {folder}/\n" if is_durable else "persistence false\n"
        conf.write_text(_broker_conf(self.port) + durable)
        self._child = Child("upstream", [str(place.mosquitto), "-c", str(conf)])

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self._child.pid

    def launch(self) -> None:
        """Start it and do not wait."""
        self._child.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.launch()
        self._child.wait_listening(self.port)

    def stop(self) -> None:
        """Stop it; a durable one saves its sessions."""
        self._child.stop()

    @contextmanager
    def running(self) -> Iterator[Upstream]:
        """Run it for the length of a ``with`` block, restarts included."""
        try:
            self.start()
            yield self
        finally:
            self.stop()
