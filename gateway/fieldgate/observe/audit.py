"""The audit trail: who came in or was kept out, what the gateway and devices were told, what was read anew.

It is made of lines of the log (`AUDITED`), whatever the log's level is. Laws of this file:

- The first of a kind is kept as it is. What is the same again (a device that comes back, a password tried again) is
  counted for a while and then told in one entry, with ``count``.
- However many differ, entries of log-ins and denials have a rate: what is above it is counted by its event.
- What waits to be written is bounded; what does not fit is counted.

No I/O, no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate.observe.line_budget import LineBudget

__all__ = ["AUDITED", "READING", "AuditTrail"]

AUDITED: Final = frozenset(
    {
        "access.broken", "access.changed", "access.mended", "acl.denied", "certificate.changed", "client.admitted",
        "client.connected", "client.not_admitted", "command.answered", "config.needs_restart", "config.refused",
        "config.reloaded", "control.asked", "gateway.started", "gateway.stopping", "log.level_changed",
        "profiles.loaded", "profiles.refused", "rules.loaded", "rules.refused", "source.login_changed",
        "source.login_refused", "uplink.login_changed", "uplink.login_refused",
    }
)  # fmt: skip
"""The lines that are kept."""

READING: Final = frozenset(
    {
        "audit.flush", "command.known", "command.list", "dead-letters.list", "dead-letters.show", "devices.status",
        "journal.read", "journal.stats", "journal.tail", "journal.verify", "parked.list", "parked.show",
        "rules.explain", "rules.list", "status",
    }
)  # fmt: skip
"""Requests that only look: nobody needs to know of them later. One that is not here is kept."""

_OFTEN: Final = {
    "acl.denied": ("listener", "user", "what"),
    "client.admitted": ("listener", "user", "address"),
    "client.connected": ("listener", "user", "address", "client"),
    "client.not_admitted": ("listener", "user", "address", "reason"),
    "command.answered": ("origin", "device", "name", "status"),
}
"""What may come often, and what makes it the same again."""

_SAME_FOR_S: Final = 600.0
_MAX_KINDS: Final = 500
_MAX_WAITING_BYTES: Final = 64 << 10
_MAX_TEXT: Final = 300


class AuditTrail:
    """Takes lines of the log; `take` gives what is to be written, a JSON object a line."""

    def __init__(self) -> None:
        self.left_out: Counter[str] = Counter()  # since the start, by event
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._again: dict[tuple[str, ...], _Again] = {}
        self._budget = LineBudget(burst=100, per_s=0.5)
        self._untold: Counter[str] = Counter()

    def note(self, event: Mapping[str, Any], *, at: str, now_s: float) -> None:
        """Take a line. ``at`` is the time as it is written down."""
        name = str(event["event"])
        often = _OFTEN.get(name)
        if name not in AUDITED or (name == "control.asked" and _only_looks(event)):
            return
        if often is None:
            self._keep({"at": at, **event})
            return
        kind = (name, *(str(event.get(key, "")) for key in often))
        again = self._again.get(kind)
        if again is not None and now_s < again.until_s:
            again.count += int(event.get("count", 1))
            again.last_at = at
            return
        if again is not None:
            self._tell_again(kind)
        if self._budget.take(name, now_s) is None or len(self._again) >= _MAX_KINDS:
            self.left_out[name] += 1
            self._untold[name] += 1
            return
        self._again[kind] = _Again({"at": at, **event}, now_s + _SAME_FOR_S)
        self._keep({"at": at, **event})

    def take(self, *, at: str, now_s: float, is_last: bool = False) -> bytes:
        """Return what is to be appended now; with ``is_last`` all that was counted, too."""
        for kind in [kind for kind, again in self._again.items() if is_last or now_s >= again.until_s]:
            self._tell_again(kind)
        for name, count in self._untold.items():
            self._keep({"at": at, "event": "audit.left_out", "of": name, "count": count})
        self._untold.clear()
        lines, self._waiting = b"".join(self._waiting), []
        self._waiting_bytes = 0
        return lines

    def give_back(self, lines: bytes) -> None:
        """It could not be written: it comes first next time."""
        self._waiting.insert(0, lines)
        self._waiting_bytes += len(lines)

    def _tell_again(self, kind: tuple[str, ...]) -> None:
        again = self._again.pop(kind)
        if again.count:
            self._keep({**again.entry, "count": again.count, "until": again.last_at})

    def _keep(self, entry: Mapping[str, Any]) -> None:
        line = msgspec.json.encode({key: _short(value) for key, value in entry.items()}) + b"\n"
        if self._waiting_bytes + len(line) > _MAX_WAITING_BYTES:
            self.left_out[str(entry["event"])] += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)


class _Again:
    """One that may come again: as it was first, how often since, and until when that is counted."""

    __slots__ = ("count", "entry", "last_at", "until_s")

    def __init__(self, entry: dict[str, Any], until_s: float) -> None:
        self.entry = entry
        self.until_s = until_s
        self.count = 0
        self.last_at = ""


def _only_looks(event: Mapping[str, Any]) -> bool:
    request = event.get("request")
    return request in READING or (request == "log.level" and "level" not in event)


def _short(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()[:_MAX_TEXT]
