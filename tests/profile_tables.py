"""The tables of ``devices/README.md``: the keys of a profile, from the models, and the profiles of the package.

``python tests/profile_tables.py`` writes them anew between their marks; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from decoder_tables import kind_of, shown
from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.command_model import CommandSpec, PublishSpec, ReplySpec, SerialSpec
from fieldgate_devices.files.model_tree import quantity_of
from fieldgate_devices.files.section import Section
from fieldgate_devices.modbus.spec import ModbusSpec, ModbusWrite, RegisterSpec
from fieldgate_devices.profile import (
    Example,
    FieldSpec,
    MatchSpec,
    Profile,
    Scaling,
    SplitSpec,
    TimeSpec,
    UpgradeSpec,
)
from fieldgate_devices.reading import read_profile

PAGE = Path(__file__).parents[1] / "devices/README.md"
MARK = re.compile(r"(<!-- (?P<kind>keys|profiles): (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
MODELS: dict[str, type[Section]] = {
    "profile": Profile,
    "match": MatchSpec,
    "field": FieldSpec,
    "time": TimeSpec,
    "upgrade": UpgradeSpec,
    "split": SplitSpec,
    "scale": Scaling,
    "modbus": ModbusSpec,
    "register": RegisterSpec,
    "modbus command": ModbusWrite,
    "command": CommandSpec,
    "publish": PublishSpec,
    "serial": SerialSpec,
    "reply": ReplySpec,
    "example": Example,
}
_SHOWN_FIELDS = 12


def filled(page: str) -> str:
    """The page with its tables as they must be."""
    return MARK.sub(
        lambda match: match[1] + (keys(match["name"]) if match["kind"] == "keys" else profiles()) + match[4], page
    )


def keys(name: str) -> str:
    """The keys of one section."""
    rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    for written, field in MODELS[name].model_fields.items():
        kind = "duration" if quantity_of(field) is not None else kind_of(field.annotation)
        default = "needed" if field.is_required() else "–" if _is_nothing(field.default) else shown(field.default)
        example = f" Such as {shown(field.examples[0])}." if field.examples else ""
        meaning = f"{field.description}{example}".replace("|", "\\|")
        rows.append(f"| `{field.alias or written}` | {kind} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def _is_nothing(default: object) -> bool:
    return default in (None, "", ()) or not isinstance(default, str | int | float | bool | tuple | list)


def profiles() -> str:
    """The profiles that come with Fieldgate, with their topics and fields."""
    rows = ["| Profile | Topics | Device | Fields |", "|---|---|---|---|"]
    for path, content in builtin_profiles().items():
        contract = read_profile(content, path).contract
        assert contract is not None
        profile = contract.profile
        topics = dict.fromkeys(one.mqtt or f"serial source {one.serial}" for one in profile.match)
        if not profile.match:
            topics = {"a source that names it": None}
        names = [*profile.fields, *profile.repeated]
        more = f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS + 1 else ""
        listed = names[:_SHOWN_FIELDS] if more else names
        link = f"[{profile.profile}](fieldgate_devices/profiles/{profile.profile}.yaml)"
        devices = dict.fromkeys(one.device or profile.device for one in profile.match) or {profile.device: None}
        rows.append(
            f"| {link} | {_codes(topics)} | {_codes(devices)} | "
            f"{_codes(listed)}{more}{'; others kept' if profile.other_fields == 'keep' else ''} |"
        )
    return "\n".join(rows) + "\n"


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
