"""What rules did in a test, and when: one kind of thing for all that an engine can answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fieldgate_devices.files.quantities import format_duration
from fieldgate_rules.effects import AlertChange, Derived, DeviceCommand, Effect, LocalPublish, LogLine

__all__ = ["Outcome", "json_text", "of_derived", "of_effect", "quoted", "shown", "when"]

_MAX_SHOWN: Final = 200
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that a rule did, ``at_ns`` after the test began.

    ``rules`` is the rule; several only where the event was altered by one of these, and nobody can tell by which.
    ``device`` is the device, or what the rule groups by. What ``facts`` there are depends on the ``kind``, which is
    one of `fieldgate_rules.model.tests.EXPECTED`.
    """

    at_ns: int
    rules: tuple[str, ...]
    device: str
    kind: str
    facts: Mapping[str, object]

    @property
    def text(self) -> str:
        """What was done, without when and by whom."""
        facts = self.facts
        if self.kind == "alert" and facts.get("key") == self.device:  # as it is where the rule does not say
            facts = {name: one for name, one in facts.items() if name != "key"}
        return shown(self.kind, facts)

    @property
    def line(self) -> str:
        """All of it in one line."""
        return "  ".join(filter(None, (when(self.at_ns), " or ".join(self.rules), self.device, self.text)))

    def to_json(self) -> dict[str, object]:
        """The same for programs."""
        facts = {name: _plain(one) for name, one in self.facts.items()}
        return {"at_s": self.at_ns / 1e9, "rules": list(self.rules), "device": self.device, "kind": self.kind, **facts}


def of_effect(effect: Effect, at_ns: int) -> Outcome:
    """What an effect is in a test."""
    facts: dict[str, object]
    match effect:
        case AlertChange():
            kind = "alert"
            facts = {"state": effect.state, "severity": effect.severity, "text": effect.text, "key": effect.key,
                     "fields": dict(effect.fields)}  # fmt: skip
            if effect.reason:
                facts["reason"] = effect.reason
        case DeviceCommand():
            kind = "command"
            facts = {"to": effect.device, "name": effect.name, "arguments": dict(effect.arguments)}
        case LocalPublish():
            kind = "publish"
            facts = {"topic": effect.topic, "payload": effect.payload}
        case LogLine():
            kind = "log"
            facts = {"level": effect.level, "text": effect.text}
    return Outcome(at_ns, (effect.rule,), effect.group, kind, facts)


def of_derived(derived: Derived, at_ns: int) -> Outcome | None:
    """What an event that a rule has made is in a test; None for that of an alert, which is an effect already."""
    event, address = derived.event, derived.event.address
    if address.type == "alert":
        return None
    if event.extra is not None and event.extra.publish is not None:
        facts: dict[str, object] = {"topic": event.extra.publish.topic, "payload": event.data}
        return Outcome(at_ns, (derived.rule,), address.device, "publish", facts)
    facts = {"type": address.type, "fields": msgspec.json.decode(event.data)}
    return Outcome(at_ns, (derived.rule,), address.device, "emit", facts)


def shown(kind: str, facts: Mapping[str, object]) -> str:
    """What was done, or is expected, in words; what is not said of it is left out."""
    said: Sequence[str]
    match kind:
        case "alert":
            state = "" if facts.get("state") in (None, "raised") else str(facts["state"])
            key = f"key {quoted(facts['key'])}" if "key" in facts else ""
            said = ("alert", state, str(facts.get("severity") or ""), quoted(facts.get("text")), key,
                    json_text(facts.get("fields") or None))  # fmt: skip
        case "command":
            said = (
                "command",
                str(facts.get("to") or ""),
                str(facts.get("name") or ""),
                json_text(facts.get("arguments")),
            )
        case "publish":
            said = ("publish", str(facts.get("topic") or ""), quoted(facts.get("payload")))
        case "emit":
            said = ("emit", str(facts.get("type") or ""), json_text(facts.get("fields")))
        case "log":
            said = ("log", str(facts.get("level") or ""), quoted(facts.get("text")))
        case "set":
            said = ("set", json_text(facts.get("fields")))
        case _:
            said = (kind, str(facts.get(kind) or ""))
    return " ".join(filter(None, said))


def when(at_ns: int) -> str:
    """``30s``, ``1h``, ``90.5s``: to the millisecond."""
    at_ms = round(at_ns / 1_000_000)
    if at_ms % 1000 == 0:
        return format_duration(at_ms / 1000)
    return f"{at_ms / 1000:.3f}".rstrip("0") + "s"


def quoted(value: object) -> str:
    """A text between quotes, a payload as its text if it is one, anything else as JSON; empty for None."""
    return "" if value is None else json_text(_plain(value))


def json_text(value: object) -> str:
    """As JSON, in one line of bounded length; empty for None."""
    if value is None:
        return ""
    text = _encode(_plain(value)).decode()
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _plain(value: object) -> object:
    """What JSON can hold: bytes become the text that they are, or hexadecimal."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex(" ")
