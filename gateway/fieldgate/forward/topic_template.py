"""The MQTT topic of an event, from a template such as ``fieldgate/{gateway}/{device}/{type}``.

Known fields: ``{gateway}``, ``{device}``, ``{type}``, ``{topic}`` (as the source named it) and ``{lane}``. Whatever
the fields hold, the result is a topic that every server accepts: `+`, `#`, control characters and a leading `$` become
``_``, a ``/`` within a device or type becomes ``.`` and what is longer than MQTT allows is cut off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fieldgate_devices.event import Address, Event, Lane

__all__ = ["BATCH_WORD", "TopicTemplate", "device_level"]

BATCH_WORD: Final = "batch"
"""Stands for ``{device}``, ``{type}``, ``{topic}`` and ``{lane}`` where one message carries many events."""

_MAX_TOPIC_BYTES: Final = 65_535
_MAX_CACHED: Final = 10_000
_FIELD: Final = re.compile(r"\{(gateway|device|type|topic|lane)\}")
_FORBIDDEN: Final = re.compile("[+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def device_level(device: str) -> str:
    """Return how a device stands in a topic, as one level of it."""
    return _FORBIDDEN.sub("_", device.replace("/", "."))


class TopicTemplate:
    """Answers topics as they stand in a PUBLISH: UTF-8, two bytes of length first. Remembers up to 10,000 of them.

    ``uses_lane``: the topic depends on the lane as well, else on the address alone.
    """

    def __init__(self, template: str, *, gateway: str) -> None:
        self._parts = _FIELD.split(template)  # literal, field, literal, field, … literal
        self._gateway = gateway
        self.uses_lane = "lane" in self._parts[1::2]
        self._known: dict[Address | tuple[Address, int], bytes] = {}
        self.batch = self._field(dict.fromkeys(("device", "type", "topic", "lane"), BATCH_WORD))

    def of_run(self, events: Sequence[Event]) -> list[bytes]:
        """Return the topic of each event."""
        known = self._known.get
        make = self._make
        if self.uses_lane:
            return [known((event.address, event.lane)) or make(event) for event in events]
        return [known(event.address) or make(event) for event in events]

    def _make(self, event: Event) -> bytes:
        address = event.address
        field = self._field(
            {
                "device": address.device.replace("/", "."),
                "type": address.type.replace("/", "."),
                "topic": address.topic,
                "lane": Lane(event.lane).name.lower(),
            }
        )
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        self._known[(address, event.lane) if self.uses_lane else address] = field
        return field

    def _field(self, values: dict[str, str]) -> bytes:
        values["gateway"] = self._gateway.replace("/", ".")
        texts = [values[part] if index % 2 else part for index, part in enumerate(self._parts)]
        topic = _FORBIDDEN.sub("_", "".join(texts)) or "_"
        if topic[0] == "$":
            topic = "_" + topic[1:]
        utf8 = topic.encode()
        if len(utf8) > _MAX_TOPIC_BYTES:
            utf8 = utf8[:_MAX_TOPIC_BYTES].decode(errors="ignore").encode()
        return len(utf8).to_bytes(2, "big") + utf8
