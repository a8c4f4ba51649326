"""What rules answer with. The host (``gateway/fieldgate/decide``) carries it out; the tester compares it.

Nothing of a rule in shadow mode leaves the engine: its decisions say what it would have done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from fieldgate_devices.event import Event

__all__ = ["AlertChange", "Cause", "Decided", "Derived", "DeviceCommand", "Effect", "LocalPublish", "LogLine", "Notice"]


class Cause(msgspec.Struct, frozen=True):
    """Why a rule fired. ``event`` is numbered by the time that the effect is carried out, unless it was dropped.

    ``mark`` names the firing for good, also after a restart: ``RUN-BOOTNS-N`` of the event or of the timer's start.
    ``age_s`` is how old the event is, or how long ago the timer was due.
    """

    mark: str
    event: Event | None = None
    is_replayed: bool = False
    age_s: float = 0.0


class AlertChange(msgspec.Struct, frozen=True, kw_only=True):
    """An alert is raised, updated or resolved: to be published locally, retained. The event upstream is `Derived`.

    ``group`` is the device, or what the rule groups by. ``since_boot_ns`` and ``since_wall_ns`` (None while nobody
    knew the time) say when it was raised.
    """

    rule: str
    group: str
    cause: Cause
    state: Literal["raised", "updated", "resolved"]
    key: str
    severity: str
    text: str
    fields: Mapping[str, Any]
    since_boot_ns: int
    since_wall_ns: int | None
    reason: str = ""
    notify: tuple[str, ...] = ()


class DeviceCommand(msgspec.Struct, frozen=True, kw_only=True):
    """Tell a device something. ``id`` is the effect id: of rule, group, cause and number of the action."""

    rule: str
    group: str
    cause: Cause
    id: str
    device: str
    name: str
    arguments: Mapping[str, Any]


class LocalPublish(msgspec.Struct, frozen=True, kw_only=True):
    """A message to the clients of the listeners. One to an uplink is `Derived`."""

    rule: str
    group: str
    cause: Cause
    id: str
    topic: str
    payload: bytes
    qos: int
    retain: bool


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line in the gateway's log."""

    rule: str
    group: str
    cause: Cause
    level: str
    text: str


Effect = AlertChange | DeviceCommand | LocalPublish | LogLine


class Derived(msgspec.Struct, frozen=True):
    """An event that a rule has made: emitted, an alert, or a message for an uplink.

    ``cause`` is the place of the event that it comes of among those given; None for one of a timer.
    """

    event: Event
    cause: int | None
    rule: str


class Decided(msgspec.Struct):
    """What becomes of the events that were given.

    ``events`` go on, in order, those that a rule altered as copies; ``causes[i]`` is the place of ``events[i]`` among
    those given. One that is in neither ``causes`` nor the causes of ``derived`` has gone nowhere, and is settled.
    ``altered`` are events, of rules too, with the copy that goes on for each: they are to bear its number.
    """

    events: list[Event] = []
    causes: list[int] = []
    derived: list[Derived] = []
    effects: list[Effect] = []
    altered: list[tuple[Event, Event]] = []


class Notice(msgspec.Struct, frozen=True):
    """Something has happened to the gateway; see `fieldgate_rules.model.triggers.GATEWAY_KINDS`.

    ``threshold`` is the percent that the buffer has passed: a trigger with another one does not take it.
    """

    kind: str
    device: str
    fields: Mapping[str, Any] = {}
    threshold: int | None = None
