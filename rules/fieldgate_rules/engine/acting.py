"""Do what a rule says: effects, new events, and how the event itself is altered."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from fieldgate_devices.event import Address, Event, Extra, Lane, Publish, Stamp
from fieldgate_rules.action_kinds import OF_EVENTS
from fieldgate_rules.alert_data import alert_data
from fieldgate_rules.condition import Facts
from fieldgate_rules.effects import AlertChange, Cause, DeviceCommand, Effect, LocalPublish, LogLine
from fieldgate_rules.engine.alerts import Alert
from fieldgate_rules.engine.decisions import Acted
from fieldgate_rules.engine.event_fields import NOTHING
from fieldgate_rules.engine.moment import Moment
from fieldgate_rules.engine.sampling import Sampling
from fieldgate_rules.engine.slot import Slot
from fieldgate_rules.rule import Action, Rule

__all__ = ["Altered", "Made", "Out", "act_on_event", "alert_event", "altered_event", "fire", "resolve_alerts"]

_MAX_ID: Final = 64
_encode = msgspec.json.Encoder().encode


class Altered(msgspec.Struct):
    """What rules say of an event itself; applied once, after all of them were asked."""

    fields: dict[str, Any] = {}
    added: dict[str, Any] = {}
    lane: int | None = None
    routes: list[str] = []
    is_routed: bool = False
    is_dropped: bool = False


class Made(msgspec.Struct, frozen=True):
    """A new event, and whether rules are to be asked about it."""

    event: Event
    rule: str


class Out(msgspec.Struct):
    """What comes of one event or timer, in order."""

    effects: list[Effect] = []
    made: list[Made] = []


def plain(value: Any) -> Any:
    """The value as JSON can have it: no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def filled(action: Action, facts: Facts) -> dict[str, Any]:
    """The values of an action's fields; what is unknown is left out."""
    values = {name: plain(leaf.value_for(facts)) for name, leaf in action.fields.items()}
    return {name: value for name, value in values.items() if value is not None}


def _text(action: Action, key: str, facts: Facts, fallback: str) -> str:
    template = action.texts.get(key)
    return fallback if template is None else template.text_for(facts)


def effect_id(rule: str, group: str, mark: str, number: int) -> str:
    """Return the id of an effect; a long one is hashed to 64 characters."""
    text = f"{rule}/{group}/{mark}/{number}"
    if len(text) <= _MAX_ID and text.isascii():
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_MAX_ID // 2).hexdigest()


# -- the event itself ------------------------------------------------------------------------------------------


def act_on_event(rule: Rule, slot: Slot, facts: Facts, altered: Altered) -> list[Acted]:
    """Do what is about the event, for which the rule holds."""
    acted: list[Acted] = []
    for action in rule.actions:
        if action.kind not in OF_EVENTS:
            continue
        if action.condition is not None and action.condition.evaluate(facts) is not True:
            acted.append(Acted(action.number, action.kind, stopped_by=f"do[{action.number}].if"))
            continue
        acted.append(Acted(action.number, action.kind))
        spec = action.spec
        match action.kind:
            case "set":
                altered.fields |= filled(action, facts)
            case "enrich":
                values = filled(action, facts)
                altered.added |= {name: value for name, value in values.items() if name not in facts.fields}
            case "drop":
                altered.is_dropped = True
            case "lane":
                altered.lane = int(Lane[str(spec.lane).upper()])
            case "route":
                altered.is_routed = True
                altered.routes += [name for name in spec.route or () if name not in altered.routes]
            case "sample":
                assert spec.sample is not None
                sampling = slot.sampling.setdefault(action.number, Sampling())
                if not sampling.passes(spec.sample, facts):
                    altered.is_dropped = True
                    acted[-1] = Acted(action.number, action.kind, text="dropped")
            case _:
                pass
    return acted


def altered_event(event: Event, fields: Mapping[str, object], altered: Altered) -> Event | None:
    """Return the event as rules want it; None: it goes nowhere."""
    if altered.is_dropped:
        return None
    changes: dict[str, Any] = {}
    if (altered.fields or altered.added) and fields is not NOTHING:  # bytes stay as they are
        changes["data"] = _encode({**altered.added, **fields, **altered.fields})
        changes["is_json"] = True
    if altered.lane is not None:
        changes["lane"] = altered.lane
    if altered.is_routed:
        changes["extra"] = msgspec.structs.replace(event.extra or Extra(), uplinks=tuple(altered.routes))
    return msgspec.structs.replace(event, **changes) if changes else event


# -- firing ------------------------------------------------------------------------------------------


def fire(rule: Rule, slot: Slot, facts: Facts, cause: Cause, now: Moment, out: Out, *, lane: int) -> tuple[Acted, ...]:
    """Do what is done when it fires; ``lane`` is that of the event that it comes of."""
    acted: list[Acted] = []
    for action in rule.actions:
        if action.kind in OF_EVENTS:
            continue
        number = action.number
        id_ = effect_id(rule.id, slot.group, cause.mark, number)
        if action.condition is not None and action.condition.evaluate(facts) is not True:
            acted.append(Acted(number, action.kind, id_, f"do[{number}].if"))
            continue
        is_at_once = action.kind == "command" or (action.spec.publish is not None and action.spec.publish.to == "local")
        if is_at_once and (stopped := _too_late(rule, cause)):
            acted.append(Acted(number, action.kind, id_, stopped, age_s=cause.age_s))
            continue
        if is_at_once and (unknown := _unknown(action, facts)):
            acted.append(Acted(number, action.kind, id_, f"do[{number}]", text=f"{unknown} is unknown"))
            continue
        acted.append(Acted(number, action.kind, id_, text=_do(rule, slot, action, facts, cause, now, out, lane, id_)))
    return tuple(acted)


def _too_late(rule: Rule, cause: Cause) -> str:
    if cause.is_replayed and not rule.spec.on_replay:
        return "on_replay"
    return "max_age" if cause.age_s > rule.spec.max_age else ""


def _unknown(action: Action, facts: Facts) -> str:
    """An argument, or the payload, that is one expression and unknown; empty where there is none.

    Nobody switches anything on a value that is not there.
    """
    for name, leaf in action.fields.items():
        if leaf.tree is not None and leaf.value_for(facts) is None:
            return name
    return ""


def _do(
    rule: Rule, slot: Slot, action: Action, facts: Facts, cause: Cause, now: Moment, out: Out, lane: int, id_: str
) -> str:
    """Do one thing; return it in a few words."""
    spec, group = action.spec, slot.group
    match action.kind:
        case "alert":
            return _raise(rule, slot, action, facts, cause, now, out)
        case "command":
            assert spec.command is not None
            device = _text(action, "device", facts, spec.command.device)
            arguments = {name: plain(leaf.value_for(facts)) for name, leaf in action.fields.items()}
            out.effects.append(
                DeviceCommand(
                    rule=rule.id, group=group, cause=cause, id=id_, device=device, name=spec.command.name,
                    arguments=arguments,
                )
            )  # fmt: skip
            return f"{spec.command.name} to {device}"
        case "publish":
            return _publish(rule, slot, action, facts, cause, now, out, lane, id_)
        case "emit":
            assert spec.emit is not None
            device = _text(action, "device", facts, facts.device)
            type_ = spec.emit.type or rule.id
            own_lane = lane if spec.emit.lane is None else int(Lane[spec.emit.lane.upper()])
            data = {**_figures(slot), **filled(action, facts)}
            event = _event(
                Address(device, type_, f"rules/{rule.id}", spec.emit.version), now.stamp, data, own_lane, cause
            )
            out.made.append(Made(event, rule.id))
            return f"{type_} of {device}"
        case _:
            assert spec.log is not None
            text = _text(action, "text", facts, spec.log.text)
            out.effects.append(LogLine(rule=rule.id, group=group, cause=cause, level=spec.log.level, text=text))
            return text


def _figures(slot: Slot) -> dict[str, Any]:
    """Of a window: its figures and when it was, as its event has them."""
    return {} if slot.ended is None else slot.ended.data()


def _event(address: Address, stamp: Stamp, data: Mapping[str, Any], lane: int, cause: Cause, **more: Any) -> Event:
    extra = Extra(is_replayed=cause.is_replayed, **more) if cause.is_replayed or more else None
    return Event(address, stamp, _encode(data), True, 0, lane, extra=extra)


def _publish(
    rule: Rule, slot: Slot, action: Action, facts: Facts, cause: Cause, now: Moment, out: Out, lane: int, id_: str
) -> str:
    spec = action.spec.publish
    assert spec is not None
    topic = _text(action, "topic", facts, spec.topic)
    leaf = action.fields.get("payload")
    value = spec.payload if leaf is None else plain(leaf.value_for(facts))
    payload = value.encode() if isinstance(value, str) else b"" if value is None else _encode(value)
    if spec.to == "local":
        out.effects.append(
            LocalPublish(
                rule=rule.id, group=slot.group, cause=cause, id=id_, topic=topic, payload=payload, qos=spec.qos,
                retain=spec.retain,
            )
        )  # fmt: skip
        return topic
    extra = Extra(is_replayed=cause.is_replayed, uplinks=(spec.to,), publish=Publish(topic, spec.qos, spec.retain))
    address = Address(facts.device, "publish", f"rules/{rule.id}")
    out.made.append(Made(Event(address, now.stamp, payload, False, 0, lane, extra=extra), rule.id))
    return f"{topic} to {spec.to}"


# -- alerts ------------------------------------------------------------------------------------------


def _raise(rule: Rule, slot: Slot, action: Action, facts: Facts, cause: Cause, now: Moment, out: Out) -> str:
    spec = action.spec.alert
    assert spec is not None
    text = _text(action, "text", facts, spec.text)
    alert = Alert(
        _text(action, "key", facts, facts.device),
        spec.severity,
        text,
        filled(action, facts),
        now.stamp.boot_ns,
        None if now.wall_s is None else now.stamp.wall_ns,
        spec.notify,
        spec.resolve,
        now.boot_s,
        action.number,
    )
    is_new = alert.key not in slot.alerts.lasting
    change = slot.alerts.raised(alert, cause, facts.device)
    if change is not None:
        tell(change, facts.device, now, out)
    if is_new:
        return text if change is not None else f"{text} (not raised: too many keys)"
    return f"{text} (updated)" if change is not None else text


def tell(change: AlertChange, device: str, now: Moment, out: Out) -> None:
    """Say what has become of an alert: locally, and upstream."""
    out.effects.append(change)
    out.made.append(Made(alert_event(change, device, now.stamp), change.rule))


def alert_event(change: AlertChange, device: str, stamp: Stamp) -> Event:
    """The event of an alert, in lane high."""
    more = {"notify": change.notify} if change.notify else {}
    return _event(
        Address(device, "alert", "fieldgate/alert"), stamp, alert_data(change), Lane.HIGH, change.cause, **more
    )


def resolve_alerts(
    rule: Rule,
    slot: Slot,
    facts: Facts,
    cause: Cause,
    now: Moment,
    out: Out,
    *,
    reason: str = "",
    is_forced: bool = False,
) -> None:
    """End those that end when the rule does not hold any more; ``is_forced``: all."""
    texts = {one.number: one.texts["resolved"] for one in rule.actions if "resolved" in one.texts}
    for key, alert in list(slot.alerts.lasting.items()):
        if alert.ends_itself or is_forced:
            said = None if reason else texts.get(alert.number)
            text = "" if said is None else said.text_for(facts)
            tell(slot.alerts.ended(key, cause, text=text, reason=reason), facts.device, now, out)
