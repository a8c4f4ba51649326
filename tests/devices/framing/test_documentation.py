"""``devices/FRAMING.md``: every option is there as the model has it, and every example does what it says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from fieldgate_devices.framing import FramingSpec, framer_of, framing_names
from framing_kit import hear
from framing_tables import MARK, PAGE, filled, tables_wanted

TEXT = PAGE.read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SPEC: TypeAdapter[dict[str, Any]] = TypeAdapter(FramingSpec)


def test_the_tables_are_those_of_the_models() -> None:
    """`python tests/framing_tables.py` writes them."""
    assert filled(TEXT) == TEXT
    assert {match["name"] for match in MARK.finditer(TEXT)} == tables_wanted()


def test_every_framing_has_a_row_a_section_and_an_example() -> None:
    names = framing_names()

    assert [name for name in names if f"\n## {name}\n" not in TEXT] == []
    assert [name for name in names if f"| [`{name}`](#{name}) |" not in TEXT] == []
    assert {name for one in EXAMPLES for name in names if re.match(rf"framing:\s*{{?{name}\b", one)} == set(names)


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"example {number}" for number in range(1, len(EXAMPLES) + 1)])
def test_an_example_does_what_it_says(example: str) -> None:
    written = YAML(typ="safe", pure=True).load(example)
    heard = bytes.fromhex(written["in_hex"]) if "in_hex" in written else written["in"].encode()
    expected = [bytes.fromhex(one) for one in written.get("out_hex", ())] or [one.encode() for one in written["out"]]

    frames = hear(framer_of(SPEC.validate_python(written["framing"])), [(heard, 0.0)])

    assert [frame.payload for frame in frames if not frame.fault] == expected
