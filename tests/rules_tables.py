"""The tables of ``rules/README.md``: the keys of a file of rules, from the models, and the templates of the library.

``python tests/rules_tables.py`` writes them anew between their marks; the rest of the page is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from annotated_types import Le, MaxLen
from pydantic.fields import FieldInfo

from decoder_tables import kind_of, shown
from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.files.model_tree import quantity_of
from fieldgate_devices.files.section import Section
from fieldgate_rules.engine import EngineLimits
from fieldgate_rules.file_limits import MAX_RULE_FILE
from fieldgate_rules.model.actions import (
    ActionSpec,
    AlertSpec,
    CommandSpec,
    EmitSpec,
    LogSpec,
    PublishSpec,
    SampleSpec,
)
from fieldgate_rules.model.file import ParameterSpec, RuleFileSpec, TemplateSpec
from fieldgate_rules.model.rule import Body, RuleSpec
from fieldgate_rules.model.stages import CountSpec, RateSpec, SequenceSpec, StepSpec, ThrottleSpec
from fieldgate_rules.model.tests import ClockSpec, ExpectedCommand, ExpectSpec, GivenSpec, RestartSpec, TestSpec
from fieldgate_rules.model.triggers import GATEWAY_KINDS, TriggerSpec
from fieldgate_rules.model.windows import ValueSpec, WindowSpec

RULES = Path(__file__).parents[1] / "rules"
PAGE = RULES / "README.md"
LIBRARY = RULES / "fieldgate_rules/library"
EXAMPLES = RULES / "examples"
MARK = re.compile(
    r"(<!-- (?P<kind>keys|library|examples|gateway|limits)(: (?P<name>[a-z ]+))? -->\n).*?(<!-- end -->)", re.DOTALL
)
MODELS: dict[str, type[Section]] = {
    "file": RuleFileSpec,
    "rule": RuleSpec,
    "on": TriggerSpec,
    "rate": RateSpec,
    "count": CountSpec,
    "sequence": SequenceSpec,
    "step": StepSpec,
    "throttle": ThrottleSpec,
    "window": WindowSpec,
    "figure": ValueSpec,
    "do": ActionSpec,
    "alert": AlertSpec,
    "command": CommandSpec,
    "publish": PublishSpec,
    "emit": EmitSpec,
    "log": LogSpec,
    "sample": SampleSpec,
    "template": TemplateSpec,
    "parameter": ParameterSpec,
    "test": TestSpec,
    "given": GivenSpec,
    "restart": RestartSpec,
    "clock": ClockSpec,
    "expect": ExpectSpec,
    "expected command": ExpectedCommand,
}


def filled(page: str) -> str:
    """The page with its tables as they must be."""
    tables = {"library": library, "examples": examples, "gateway": gateway, "limits": limits}

    def table(match: re.Match[str]) -> str:
        made = keys(match["name"]) if match["kind"] == "keys" else tables[match["kind"]]()
        return match[1] + made + match[5]

    return MARK.sub(table, page)


def keys(name: str) -> str:
    """The keys of one section; of a template only those that a rule does not have."""
    rows = ["| Key | Value | Default | Meaning |", "|---|---|---|---|"]
    for written, field in _fields(MODELS[name]).items():
        example = f" Such as {_shown(field.examples[0])}." if field.examples else ""
        meaning = f"{field.description}{example}".replace("|", "\\|")
        rows.append(f"| `{field.alias or written}` | {_kind(field)} | {_default_of(field)} | {meaning} |")
    return "\n".join(rows) + "\n"


def _fields(model: type[Section]) -> Mapping[str, FieldInfo]:
    """Of a rule, what is its own before what it shares with a template; of a template nothing else."""
    if not issubclass(model, Body):
        return model.model_fields
    own = {name: field for name, field in model.model_fields.items() if name not in Body.model_fields}
    return own if model is TemplateSpec else {**own, **model.model_fields}


def _kind(field: FieldInfo) -> str:
    return "duration" if quantity_of(field) is not None else kind_of(field.annotation).replace("`True`", "`true`")


def _default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    quantity = quantity_of(field)
    if quantity is not None and field.default is not None:
        return f"`{quantity.format(field.default)}`"
    return "–" if _is_nothing(field.default) else shown(field.default)


def _shown(value: object) -> str:
    return shown(value) if isinstance(value, str) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _is_nothing(default: object) -> bool:
    return default in (None, "", ()) or not isinstance(default, str | int | float | bool | tuple | list)


def library() -> str:
    """The templates, with what they are for and their parameters."""
    rows = ["| Template | For | Parameters |", "|---|---|---|"]
    for path, name, template in templates():
        parameters = "; ".join(_parameter(key, one) for key, one in template.get("parameters", {}).items())
        said = str(template["description"]).partition(". ")[0].rstrip(".")
        rows.append(f"| [{name}]({path.relative_to(RULES)}) | {said}. | {parameters} |")
    return "\n".join(rows) + "\n"


def templates() -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
    """Each template of the library: its file, its name, and it as it is written."""
    for path in sorted(LIBRARY.glob("*.yaml")):
        for name, template in plain(path)["templates"].items():
            yield path, name, template


def plain(path: Path) -> dict[str, Any]:
    """What a file holds, as plain values."""
    root = read_yaml(path.read_bytes(), path.name).root
    assert root is not None, path
    value = root.value()
    assert isinstance(value, dict)
    return value


def _parameter(name: str, spec: Mapping[str, Any]) -> str:
    return f"`{name}`" if "default" not in spec else f"`{name}` ({_default(spec['default'])})"


def _default(value: object) -> str:
    return "none" if value == [] else str(value).lower() if isinstance(value, bool) else str(value).strip("{}")


def examples() -> str:
    """The complete files, with what their first lines say."""
    rows = ["| File | Shows |", "|---|---|"]
    for path in sorted(EXAMPLES.glob("*.yaml")):
        remark = " ".join(re.findall(r"^# (?!yaml-language-server)(.*)$", path.read_text(), re.MULTILINE))
        rows.append(f"| [{path.stem}]({path.relative_to(RULES)}) | {remark.partition('. ')[0].rstrip('.')}. |")
    return "\n".join(rows) + "\n"


def gateway() -> str:
    """What happens to the gateway itself, with the fields that it has."""
    rows = ["| `gateway:` | Device | Fields |", "|---|---|---|"]
    for kind, fields in GATEWAY_KINDS.items():
        device = "that device" if kind in ("silent", "back") else "the gateway"
        rows.append(f"| `{kind}` | {device} | {', '.join(f'`{field}`' for field in ('kind', *fields))} |")
    return "\n".join(rows) + "\n"


def limits() -> str:
    """What a file and its rules may hold."""
    rows = [
        ("Bytes of a file", f"{MAX_RULE_FILE.max_bytes:,}"),
        ("Rules of a file; templates; tests", f"{_most(RuleFileSpec, 'rules')}; {_most(RuleFileSpec, 'templates')}; "
         f"{_most(RuleFileSpec, 'tests')}"),
        ("Entries of `on`; of `do`", f"{_most(RuleSpec, 'on')}; {_most(RuleSpec, 'do')}"),
        ("Steps of a sequence; events that `count` counts", f"{_most(SequenceSpec, 'steps')}; "
         f"{_most(CountSpec, 'at_least')}"),
        ("Figures of a window", _most(WindowSpec, "values")),
        ("Events in a row that rules make of events that rules made", "8"),
        ("Timers, counts, windows and alerts over all rules, by group", f"{EngineLimits().max_states:,}"),
        ("Devices whose last values are known", f"{EngineLimits().max_devices:,}"),
        ("Decisions that `explain` knows", f"50 of a rule, {EngineLimits().max_decisions:,} in all"),
    ]  # fmt: skip
    return "| What | At most |\n|---|---|\n" + "".join(f"| {what} | {most} |\n" for what, most in rows)


def _most(model: type[Section], key: str) -> str:
    marks = model.model_fields[key].metadata
    most = next(
        mark.max_length if isinstance(mark, MaxLen) else mark.le for mark in marks if isinstance(mark, MaxLen | Le)
    )
    return f"{most:,}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
