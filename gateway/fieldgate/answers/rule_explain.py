"""What the running gateway answers about why a rule fired, or did not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from fieldgate.control import Answer, ControlError, Handler
from fieldgate.ingest.device_entry import Device
from fieldgate.ingest.device_facts import Now
from fieldgate.pipeline import Pipeline
from fieldgate_devices.files.validate import did_you_mean

if TYPE_CHECKING:
    from fieldgate_rules.explain import Heard

__all__ = ["rule_explain_handlers"]


class _Explain(msgspec.Struct, forbid_unknown_fields=True):
    rule: str
    device: str | None = None
    event: str | None = None


def rule_explain_handlers(pipeline: Pipeline) -> dict[str, Handler]:
    """Return the answer to each request by its name."""
    return {"rules.explain": partial(_explain, pipeline)}


async def _explain(pipeline: Pipeline, request: dict[str, Any]) -> Answer:
    from fieldgate_rules.explain import explain  # only when somebody asks

    asked = msgspec.convert(request, _Explain)
    host = pipeline.rules.host
    known = {rule.id: rule for rule in host.rules.rules}
    rule = known.get(asked.rule)
    if rule is None:
        hint = did_you_mean(asked.rule, known) or (f"; known: {', '.join(list(known)[:12])}" if known else "")
        raise ControlError(f"there is no rule {asked.rule!r}{hint}")
    assert host.engine is not None  # there is a rule
    watch = pipeline.devices
    watch.registry.fold()
    now = watch.now()
    heard = [_heard(device, now, asked.device) for device in watch.registry.devices.values()]
    report = explain(host.engine, rule, device=asked.device, event=asked.event, heard=heard, stamp=pipeline.now_stamp())
    yield msgspec.to_builtins(report)


def _heard(device: Device, now: Now, about: str | None) -> Heard:
    """A device as it is known; its values only if it is the one that is asked about."""
    from fieldgate_rules.explain import Heard

    newest = next(reversed(device.topics.values()), None)
    lane = None if newest is None else newest.lane
    fields = {name: value for name, (value, _) in device.values().items()} if device.name == about else {}
    age_s = None if device.last is None else now.age_s(device.last, device.last_boot)
    return Heard(device.name, device.type, lane, fields, age_s)
