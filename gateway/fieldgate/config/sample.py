"""The sample ``fieldgate.yaml``: every key with its meaning, its limits and its default, made from the models.

A key behind ``#`` has the value it has anyway, or an example where there is no default. The first source and the first
uplink, which somebody has to fill in, are commented out as a whole, so that the sample works as it is.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection, Iterator
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fieldgate.config.listen import HTTP_KEYS, ListenConfig
from fieldgate.config.model import Config
from fieldgate.config.schema import SCHEMA_FILE
from fieldgate.config.source import SourceConfig
from fieldgate.config.uplink import UplinkConfig
from fieldgate_devices.files.model_tree import choices_of, quantity_of, range_of, section_of
from fieldgate_devices.files.section import Section

__all__ = ["sample_text"]

_WIDTH: Final = 116
_UPLINK_NAME: Final = "cloud"
_SOURCE_NAME: Final = "shop-floor"  # of the first source; the second has another
_WRITTEN_OUT: Final = {  # sections with a line per key, and the keys there that nearly everybody sets
    "GatewayConfig": frozenset[str](),
    "ListenConfig": frozenset({"mqtt", "http"}),
    "SourceConfig": frozenset({"name", "mqtt"}),
    "MqttSourceConfig": frozenset({"url", "subscribe"}),
    "SerialSourceConfig": frozenset({"port", "baud", "framing"}),
    "ModbusSourceConfig": frozenset({"port", "baud", "units"}),
    "UplinkConfig": frozenset({"mqtt", "format"}),
    "MqttUplinkConfig": frozenset({"url", "username", "password"}),
    "WebhookConfig": frozenset({"url"}),
    "DevicesConfig": frozenset[str](),
    "DeadLettersConfig": frozenset[str](),
    "RulesConfig": frozenset[str](),
    "LocalConfig": frozenset[str](),
    "JournalConfig": frozenset[str](),
    "MetricsConfig": frozenset[str](),
    "TracingConfig": frozenset[str](),
    "VitalsConfig": frozenset[str](),
}
_PLAIN: Final = re.compile(r"[A-Za-z_/~][A-Za-z0-9_./:{}~-]*|[0-9]+[A-Za-z/][A-Za-z0-9/]*|[0-9.]+:[0-9]+")

_HEAD: Final = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
#
# Fieldgate's configuration: every key, what it means and what it is when you leave it out.
# Made by 'fieldgate config sample'; 'fieldgate config schema > {SCHEMA_FILE}' makes the schema for editors.
# After a change: 'fieldgate check'. What is in effect, and where it comes from: 'fieldgate config show'.
#
# Durations: 200ms, 5s, 10m, 24h, 7d. Sizes: 256KiB, 500MB, 2GB. Rates: 500/s, 30/m. Relative paths begin at this
# file's folder. Secrets do not belong here; write where they are: ${{credential:NAME}}, ${{file:/PATH}}, ${{env:NAME}}.
"""
_HTTP_TOO: Final = (
    "Another kind of listener, for devices that speak HTTP. tls, auth (with tokens), origins, events, lane, "
    "max_topic_levels, max_unsettled and the limits on clients and connections mean the same as above."
)
_WEBHOOK_TOO: Final = (
    "Another kind of uplink, which is told of alerts. required, max_size, max_age, rate, only and start mean the same "
    "as above."
)
_MODBUS_TOO: Final = "Another kind of source, for Modbus devices. lane means the same as above."
_SERIAL_TOO: Final = "Another kind of source, for a device on a serial port. lane means the same as above."


def sample_text() -> str:
    """The sample as ``deploy/config/fieldgate.yaml`` holds it."""
    blocks = ["\n".join(_top_level(name, field)) + "\n" for name, field in Config.model_fields.items()]
    return "\n".join([_HEAD, *blocks])


def _top_level(name: str, field: FieldInfo) -> Iterator[str]:
    yield from _comment(_meaning(field), indent=0)
    section = section_of(field.annotation)
    if section is None:
        yield f"#{name}: {_yaml(_value(field))}"
    elif section is UplinkConfig:
        lines = [
            f"{name}:",
            f"  {_UPLINK_NAME}:",
            *_keys(section, indent=4, names=section.model_fields.keys() - {"webhook"}),
        ]
        yield from (f"#{line}" for line in lines)
        yield from (f"#{line}" for line in _comment(_WEBHOOK_TOO, indent=2))
        yield from (f"#{line}" for line in ("  pager:", *_keys(section, indent=4, names={"webhook"})))
    elif section is SourceConfig:
        others = section.model_fields.keys() - {"serial", "modbus"}
        yield from (f"#{line}" for line in (f"{name}:", *_entry(section, others)))
        yield from (f"#{line}" for line in _comment(_SERIAL_TOO, indent=2))
        yield from (f"#{line.replace(_SOURCE_NAME, 'scale')}" for line in _entry(section, {"name", "serial"}))
        yield from (f"#{line}" for line in _comment(_MODBUS_TOO, indent=2))
        yield from (f"#{line.replace(_SOURCE_NAME, 'meters')}" for line in _entry(section, {"name", "modbus"}))
    elif section is ListenConfig:
        yield f"{name}:"
        http_keys = {"http", *HTTP_KEYS}
        yield from _entry(section, section.model_fields.keys() - http_keys)
        yield from _comment(_HTTP_TOO, indent=2)
        yield from (f"#{line}" for line in _entry(section, http_keys))
    else:
        yield f"{name}:"
        yield from _keys(section, indent=2)


def _entry(section: type[Section], names: Collection[str] | None = None) -> Iterator[str]:
    """An entry of a list of sections, with the keys ``names`` (None: all)."""
    lines = list(_keys(section, indent=4, names=names))
    first = next(number for number, line in enumerate(lines) if not line.lstrip().startswith("#"))
    yield from (line[2:] for line in lines[:first])
    yield f"  - {lines[first].lstrip()}"
    yield from lines[first + 1 :]


def _keys(section: type[Section], *, indent: int, names: Collection[str] | None = None) -> Iterator[str]:
    margin = " " * indent
    for name, field in section.model_fields.items():
        if names is not None and name not in names:
            continue
        mark = "" if name in _WRITTEN_OUT[section.__name__] else "#"
        yield from _comment(_meaning(field), indent=indent)
        inner = section_of(field.annotation)
        if inner is not None and inner.__name__ in _WRITTEN_OUT:
            yield f"{margin}{name}:"
            yield from _keys(inner, indent=indent + 2)
            continue
        for below, its_field in inner.model_fields.items() if inner is not None else ():
            yield from _comment(f"- {below}: {_meaning(its_field)}", indent=indent, hanging="    ")
        yield f"{margin}{mark}{name}: {_yaml(_value(field))}"


def _meaning(field: FieldInfo) -> str:
    """The description, and what of the limits it does not say itself."""
    words = choices_of(field.annotation)
    limits = range_of(field)
    allowed = f" One of: {', '.join(words)}." if words else f" From {limits[0]} to {limits[1]}." if limits else ""
    return f"{field.description}{allowed}"


def _value(field: FieldInfo) -> Any:
    """The default as it is written, or an example where the default is nothing or the machine's."""
    if field.examples and field.default in (None, PydanticUndefined, ()):
        return field.examples[0]
    default = field.get_default(call_default_factory=True)
    quantity = quantity_of(field)
    if quantity is not None:
        return quantity.format(default)
    return default.model_dump(mode="json") if isinstance(default, Section) else default


def _yaml(value: Any, *, is_nested: bool = False) -> str:
    """A value in one line; what YAML could take for something else, as braces within braces, stands in quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(below, is_nested=True)}" for key, below in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(one, is_nested=True) for one in value) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not (is_nested and "{" in value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str, *, indent: int, hanging: str = "  ") -> list[str]:
    margin = f"{' ' * indent}# "
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=margin,
        subsequent_indent=margin + hanging.removeprefix("  "),
        break_on_hyphens=False,
    )
