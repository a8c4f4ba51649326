"""What a webhook is sent of an event: headers and body, by ``format``.

What stands in a text may come from a device. In ``slack`` the signs that Slack reads as commands (``<!channel>``) are
escaped, and no text is longer than servers take. ``Idempotency-Key`` is the event's id, the same for each copy.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fieldgate.config.webhook import WebhookConfig
from fieldgate.forward.as_is import event_id
from fieldgate.forward.encode import CloudEvents, OsBootOf
from fieldgate.forward.shape import EVENT_TYPE
from fieldgate_devices.event import Event

__all__ = ["WebhookBody", "alert_line"]

_ALERT: Final = "alert"
_MAX_LINE: Final = 3_000  # characters; ntfy takes 4,096 bytes of text
_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_JSON_TYPE: Final = "application/json"


class _Alert(msgspec.Struct):
    state: str = ""
    severity: str = ""
    text: str = ""
    rule: str = ""
    reason: str = ""


def alert_line(event: Event) -> str:
    """Return an alert as a person reads it: ``CRITICAL boiler-1: too hot``; of other events their data."""
    said, word = "", event.address.type
    if event.address.type == _ALERT:
        try:
            alert = msgspec.json.decode(event.data, type=_Alert)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # whatever it is, it is shown as it is
        else:
            is_over = alert.state == "resolved"
            word = "RESOLVED" if is_over else alert.severity.upper() or "ALERT"
            said = (alert.text or alert.rule) + (f" ({alert.reason})" if is_over and alert.reason else "")
    said = said or (event.data.decode("utf-8", errors="replace") if event.is_json else f"{len(event.data)} bytes")
    line = " ".join(f"{word} {event.address.device}: {said}".split())
    return line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 1]}…"


class WebhookBody:
    """Makes the requests of one webhook."""

    def __init__(self, config: WebhookConfig, *, gateway: str, os_boot_of: OsBootOf) -> None:
        self._format = config.format
        self._envelopes = CloudEvents(gateway=gateway, os_boot_of=os_boot_of).envelopes
        self._fixed = [(name, value.reveal()) for name, value in config.headers.items()]
        if config.authorization is not None:
            self._fixed.append(("Authorization", config.authorization.reveal()))
        self._has_type = any(name.lower() == "content-type" for name, _ in self._fixed)

    def of(self, event: Event, *, host: str, is_stored: bool) -> tuple[list[tuple[str, str]], bytes]:
        """Return the headers and the body of one request."""
        match self._format:
            case "cloudevents":
                (body,), kind = self._envelopes([event], is_stored=is_stored), EVENT_TYPE
            case "text":
                body, kind = alert_line(event).encode(), _TEXT_TYPE
            case "slack":
                body, kind = msgspec.json.encode({"text": _escaped(alert_line(event))}), _JSON_TYPE
        headers = [("Host", host), ("User-Agent", "fieldgate"), ("Content-Length", str(len(body)))]
        if not self._has_type:
            headers.append(("Content-Type", kind))
        return [*headers, ("Idempotency-Key", event_id(event)), *self._fixed], body


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
