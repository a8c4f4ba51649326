"""What actions say of others: fields of the event, commands of devices, uplinks, topics; as far as they are known."""

from __future__ import annotations

from collections.abc import Sequence

from fieldgate_devices.command import CommandRefused, check_argument
from fieldgate_devices.command_model import CommandSpec
from fieldgate_devices.field_model import FieldSpec
from fieldgate_devices.files.document import Loc
from fieldgate_devices.files.validate import did_you_mean
from fieldgate_devices.units import known_unit, unit_problem
from fieldgate_rules.condition import EventKind, Kind, Shape, Template
from fieldgate_rules.condition.shapes import shape_of_spec
from fieldgate_rules.leaf import Leaf
from fieldgate_rules.model.actions import OF_EVENTS
from fieldgate_rules.reading.actions import ReadActions, shape_of_leaf
from fieldgate_rules.reading.kinds import Kinds
from fieldgate_rules.reading.known import Known
from fieldgate_rules.reading.part import RulePart
from fieldgate_rules.reading.triggers import ReadTriggers
from fieldgate_rules.rule import Action, EventTrigger

__all__ = ["check_actions"]


def check_actions(part: RulePart, read: ReadActions, triggers: ReadTriggers, kinds: Kinds, known: Known) -> None:
    """Say what is wrong with the actions of a rule."""
    has_event = any(isinstance(one, EventTrigger) for one in triggers.triggers) or part.is_broken(("on",))
    is_window = part.spec.window is not None
    for action, values_at in zip(read.actions, read.values_at, strict=True):
        loc: Loc = ("do", action.number, action.kind)
        if action.kind in OF_EVENTS and (is_window or not has_event):
            what = "fires at the end of a window" if is_window else "is asked about none"
            said = f"{action.kind} is about an event of a device, and this rule {what}"
            part.complain(loc, said, at_key=True)
        match action.kind:
            case "set" | "enrich":
                _check_set(part, action, values_at, triggers.kinds)
            case "command":
                _check_command(part, action, loc, values_at, triggers, kinds, known)
            case "publish":
                _check_publish(part, action, loc, known)
            case "route":
                _check_uplinks(part, action.spec.route or (), loc, known, wants_webhook=False)
            case "alert":
                assert action.spec.alert is not None
                _check_uplinks(part, action.spec.alert.notify, (*loc, "notify"), known, wants_webhook=True)


# -- fields of the event ----------------------------------------------------------------------------------------------


def _check_set(part: RulePart, action: Action, values_at: Loc, kinds: Sequence[EventKind]) -> None:
    """A field that a profile declares keeps its kind and unit, whoever sets it: uplinks keep the contract."""
    for name, leaf in action.fields.items():
        shape = shape_of_leaf(leaf)
        for kind in kinds:
            said = next((one for spec in kind.specs_of(name) if (one := _unlike(name, spec, shape))), "")
            if said:
                part.complain((*values_at, name), f"{said} ({kind.label})")
                break


def _unlike(name: str, spec: FieldSpec, shape: Shape) -> str:
    """Say why values of ``shape`` cannot be a field's; empty if they can."""
    wanted = shape_of_spec(spec)
    if Kind.ANY in (shape.kind, wanted.kind):
        return ""
    if shape.kind is not wanted.kind:
        return f"{name} is {wanted.kind.phrase}, and this is {shape.kind.phrase}"
    if shape.unit and wanted.unit and known_unit(shape.unit) != known_unit(wanted.unit):
        can = not unit_problem(shape.unit, wanted.unit)
        hint = f'; write convert(…, "{wanted.unit}")' if can else ""
        return f"{name} is in {wanted.unit}, and this is in {shape.unit}{hint}"
    if wanted.kind is Kind.TEXT and wanted.values and shape.values:
        for value in shape.values:
            if value not in wanted.values:
                known = ", ".join(map(str, wanted.values))
                return f"{name} is never {value!r}; allowed: {known}{did_you_mean(str(value), map(str, wanted.values))}"
    return ""


# -- commands ---------------------------------------------------------------------------------------------------------


def _check_command(
    part: RulePart, action: Action, loc: Loc, values_at: Loc, triggers: ReadTriggers, kinds: Kinds, known: Known
) -> None:
    command = action.spec.command
    assert command is not None
    name_at = loc if part.node((*loc, "name")) is None else (*loc, "name")
    for profile_id in _profiles_told(action.texts.get("device"), triggers, known):
        profile = kinds.profile(profile_id)
        if profile is None:
            continue
        spec = profile.commands.get(command.name)
        if spec is None:
            known_names = ", ".join(profile.commands)
            hint = did_you_mean(command.name, profile.commands)
            hint = hint or (f"; it has {known_names}" if known_names else "; it has none")
            at_key = name_at == loc
            at = values_at if at_key else name_at
            part.complain(at, f"profile {profile_id!r} has no command {command.name!r}{hint}", at_key=at_key)
        else:
            _check_arguments(part, action, values_at, spec)
    device = action.texts.get("device")
    if known.devices and device is not None and not device.expressions and device.text not in known.devices:
        hint = did_you_mean(device.text, known.devices)
        part.complain((*loc, "device"), f"nobody has heard of device {device.text!r}{hint}", is_warning=True)


def _profiles_told(device: Template | None, triggers: ReadTriggers, known: Known) -> Sequence[str]:
    """The profiles of the devices that a command is for; none where nobody knows it."""
    if device is None:
        return ()
    if not device.expressions:
        profile = (known.devices or {}).get(device.text)
        return (profile,) if profile else ()
    if device.only is not None and device.only.text.strip() == "device" and not triggers.is_open:
        return triggers.profiles or ()
    return ()


def _check_arguments(part: RulePart, action: Action, values_at: Loc, spec: CommandSpec) -> None:
    command = action.spec.command
    assert command is not None
    for name in command.arguments:
        if name not in spec.payload:
            known = ", ".join(spec.payload)
            hint = did_you_mean(name, spec.payload) or (f"; it has {known}" if known else "; it has none")
            part.complain((*values_at, name), f"{name!r} is no argument of {command.name}{hint}", at_key=True)
        elif (leaf := action.fields.get(name)) is not None and (said := _unfit(name, spec.payload[name], leaf)):
            part.complain((*values_at, name), said)
    for name, argument in spec.payload.items():
        if name not in command.arguments and not argument.optional and argument.default is None:
            known = ", ".join(spec.payload)
            part.complain(values_at, f"{name} is missing; {command.name} takes {known}", at_key=True)


def _unfit(name: str, spec: FieldSpec, leaf: Leaf) -> str:
    """Say why an argument cannot be this; empty if it can, or nobody knows it yet."""
    if isinstance(leaf.tree, Template):
        return _unlike(name, spec, shape_of_leaf(leaf))
    if any(True for _ in leaf.templates()):
        return ""
    try:
        check_argument(name, spec, leaf.tree)
    except CommandRefused as error:
        return str(error)
    return ""


# -- uplinks ----------------------------------------------------------------------------------------------------------


def _check_publish(part: RulePart, action: Action, loc: Loc, known: Known) -> None:
    publish, topic = action.spec.publish, action.texts.get("topic")
    assert publish is not None
    if topic is not None and not topic.expressions:
        said = _topic_problem(topic.text)
        if said:
            part.complain((*loc, "topic"), said)
    if publish.to == "local":
        return
    if publish.qos == 2:
        part.complain((*loc, "qos"), "an uplink sends at QoS 0 or 1; write qos: 1")
    if known.uplinks is None:
        return
    kind = known.uplinks.get(publish.to)
    if kind is None:
        names = [name for name, one in known.uplinks.items() if one == "mqtt"]
        hint = did_you_mean(publish.to, [*names, "local"]) or f"; allowed: {', '.join(['local', *names])}"
        part.complain((*loc, "to"), f"there is no uplink {publish.to!r}{hint}")
    elif kind != "mqtt":
        what = "a webhook" if kind == "webhook" else "the gateway itself; write to: local"
        part.complain((*loc, "to"), f"{publish.to!r} is {what}; only an uplink to a broker sends to a topic")


def _topic_problem(topic: str) -> str:
    if bad := next((one for one in "+#\0" if one in topic), ""):
        return f"{topic!r} has a {bad!r}, and nothing can be published to such a topic"
    if topic.startswith("$"):
        return f"{topic!r} begins with '$', which is the broker's own"
    return ""


def _check_uplinks(part: RulePart, names: Sequence[str], loc: Loc, known: Known, *, wants_webhook: bool) -> None:
    if known.uplinks is None:
        return
    fitting = [name for name, kind in known.uplinks.items() if (kind == "webhook") == wants_webhook]
    for number, name in enumerate(names):
        kind = known.uplinks.get(name)
        at = (*loc, number) if part.node((*loc, number)) is not None else loc
        if kind is None:
            what = "webhook" if wants_webhook else "uplink"
            hint = did_you_mean(name, fitting) or (f"; allowed: {', '.join(fitting)}" if fitting else "; there is none")
            part.complain(at, f"there is no {what} {name!r}{hint}")
        elif (kind == "webhook") != wants_webhook:
            said = "is no webhook; notify names webhooks" if wants_webhook else "is a webhook; write it under notify"
            part.complain(at, f"{name!r} {said}")
