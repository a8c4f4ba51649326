"""The event: what a device said, where and when it was heard.

Events are made once, by a decoder, and never altered afterwards; what the journal
stores and every uplink sends is made from these fields alone. Fields are stored by
position: append new ones with a default, never reorder.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

__all__ = [
    "GENERIC", "LANES", "OWN_TYPES", "Address", "Event", "Extra", "Lane", "Publish", "Stamp", "TimeQuality", "Trace",
]  # fmt: skip

GENERIC: Final = "generic"
"""The type of events of devices that no profile names."""
OWN_TYPES: Final = frozenset(
    {GENERIC, "alert", "back", "clock", "command", "gap", "publish", "rules", "silent", "vitals"}
)
"""Types that no profile may have: the gateway gives them to events itself."""


class Lane(IntEnum):
    """Priority of an event: ``HIGH`` is sent and kept first; ``LOW`` is evicted first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


LANES: Final = (Lane.HIGH, Lane.NORMAL, Lane.LOW)


class TimeQuality(IntEnum):
    """How far the wall-clock time of a `Stamp` can be trusted."""

    SYNCED = 0
    UNSYNCED = 1
    ESTIMATED = 2


class Address(msgspec.Struct, frozen=True, array_like=True, gc=False, cache_hash=True):
    """Who spoke: ``device`` and event ``type`` as decoded, ``topic`` as the source named it (MQTT topic or port).

    ``version`` is that of the profile whose contract the data keeps; 0 where there is none.
    """

    device: str
    type: str
    topic: str
    version: int = 0


class Stamp(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When and by which run a batch was received; shared by all events of one read.

    ``run`` is the random 64-bit id of the process that accepted the events, ``wall_ns`` is UTC in ns since
    1970, ``boot_ns`` is CLOCK_BOOTTIME in ns of that OS boot.
    """

    run: int
    wall_ns: int
    boot_ns: int
    quality: int = TimeQuality.SYNCED


class Publish(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message that a rule sends to an uplink as it is: the event's data under this topic."""

    topic: str
    qos: int = 1
    retain: bool = False


class Trace(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """To which trace an event belongs (W3C Trace Context): ``traceparent`` and ``tracestate``, checked.

    ``span`` is the span (16 hex digits) of the gateway that later ones are children of; empty where nobody records any.
    """

    parent: str
    state: str = ""
    span: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whether who began the trace records it."""
        return self.parent[-1] in "13579bdf"


class Extra(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What few events have: the device's own time (UTC in ns since 1970), and whether it was a dead letter before.

    Rules add: ``cause``, the id (``RUN-SEQ``) of the event that this one comes of; ``uplinks``, the only ones that it
    goes to; ``notify``, the uplinks of kind webhook that are told of it; ``publish``, where it is no event for them.
    ``trace`` is set where the device, or a sample taken here, has put the event into a trace.
    """

    at_ns: int | None = None
    is_replayed: bool = False
    cause: str = ""
    uplinks: tuple[str, ...] | None = None
    notify: tuple[str, ...] = ()
    publish: Publish | None = None
    trace: Trace | None = None


class Event(msgspec.Struct, array_like=True, gc=False):
    """One accepted event. Its id is (gateway, ``stamp.run``, ``seq``).

    ``data`` is a JSON text when ``is_json``, else opaque bytes (sent as base64 where the envelope is JSON). Of an event
    of type `GENERIC` it is what the device sent; whoever sends it on flattens it.
    ``content_id`` is a 64-bit hash of client, packet id, topic and payload: a hint that recognises what a
    device sent again after its PUBACK was lost. ``raw`` is the payload as received where it is not ``data``.
    ``seq`` is 0 until the outbox numbers the event. ``expiry_s`` is how long after its receipt its publisher wants it
    delivered (MQTT 5 Message Expiry Interval); None where it did not say.
    """

    address: Address
    stamp: Stamp
    data: bytes
    is_json: bool
    content_id: int
    lane: int = Lane.NORMAL
    seq: int = 0
    raw: bytes | None = None
    expiry_s: int | None = None
    extra: Extra | None = None

    @property
    def payload(self) -> bytes:
        """The bytes as the device sent them."""
        return self.data if self.raw is None else self.raw
