"""What an uplink says of itself on its server: birth, goodbye and last will. None of it is an event.

One retained JSON object (QoS 1) on one topic: ``state`` is ``online`` or ``offline``; with it ``gateway``, ``uplink``,
``version`` and ``run`` (as in the id of its events), and ``since``, when the gateway said so (``timequality`` beside it
where its clock cannot be trusted). The will has ``reason`` instead of ``since``: the server says it for us, when it has
heard nothing for one and a half keep-alives or the connection broke.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final, Literal

import msgspec

from fieldgate.forward.encode import JSON_TYPE, TimeText
from fieldgate.forward.topic_template import TopicTemplate
from fieldgate.mqtt.packets import Properties, Publish, Will

__all__ = ["Presence"]

_WILL_REASON: Final = "the connection was lost"
_TYPE: Final = Properties(payload_format=1, content_type=JSON_TYPE)


class Presence:
    """Makes the messages for one uplink; ``topic_template`` may hold ``{gateway}``."""

    def __init__(self, topic_template: str, *, gateway: str, uplink: str, run: int) -> None:
        self.topic = TopicTemplate(topic_template, gateway=gateway).batch[2:].decode()
        self._who = {"gateway": gateway, "uplink": uplink, "version": version("fieldgate"), "run": f"{run:016x}"}
        self._time_text = TimeText()

    def will(self) -> Will:
        """Return the will of every connection."""
        payload = msgspec.json.encode({"state": "offline", **self._who, "reason": _WILL_REASON})
        return Will(self.topic, payload, qos=1, retain=True, properties=_TYPE)

    def message(
        self, state: Literal["online", "offline"], *, wall_ns: int, is_synced: bool, is_retained: bool
    ) -> Publish:
        """Return the birth or the goodbye; it is not retained where the server cannot."""
        said = {"state": state, **self._who, "since": self._time_text.of(wall_ns).decode()}
        if not is_synced:
            said["timequality"] = "unsynced"
        return Publish(self.topic, msgspec.json.encode(said), qos=1, retain=is_retained, properties=_TYPE)
