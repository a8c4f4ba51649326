"""``devices/DECODERS.md``: every option is there as the model has it, and every example does what it says."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from decoder_kit import check_records
from decoder_tables import MARK, PAGE, filled, tables_wanted
from fieldgate_devices.decoders import DecoderOptions, make_decoder
from fieldgate_devices.decoders.make import BUILT_IN

TEXT = PAGE.read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def test_the_tables_are_those_of_the_models() -> None:
    """`python tests/decoder_tables.py` writes them."""
    assert filled(TEXT) == TEXT
    assert {match["name"] for match in MARK.finditer(TEXT)} == tables_wanted()


def test_every_decoder_has_a_section_and_an_example() -> None:
    shown = {name for example in EXAMPLES for name in BUILT_IN if re.match(rf"decode:\s*{{?{name}\b", example)}

    assert shown == set(BUILT_IN)
    assert {name for name in BUILT_IN if f"\n## {name}\n" in TEXT} == set(BUILT_IN)


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"example {number}" for number in range(1, len(EXAMPLES) + 1)])
def test_an_example_does_what_it_says(example: str) -> None:
    written = YAML(typ="safe", pure=True).load(example)
    decode = written["decode"]
    name, options = (decode, None) if isinstance(decode, str) else next(iter(decode.items()))

    records = make_decoder(name, options).decode(payload_of(written), written.get("captures", {}))

    check_records(records)
    assert records == written["out"]


def payload_of(written: dict[str, str]) -> bytes:
    if "in_hex" in written:
        return bytes.fromhex(written["in_hex"])
    return base64.b64decode(written["in_base64"]) if "in_base64" in written else written["in"].encode()


def test_the_decoder_of_your_own_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's Python, installed."""
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (points,) = re.findall(r"```toml\n\[project\.entry-points\.\"(fieldgate\.decoders)\"\]\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "percent_decoder.py").write_text(code)
    about = tmp_path / "percent_decoder-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: percent-decoder\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{points[0]}]\n{points[1]}".replace('"', ""))
    monkeypatch.syspath_prepend(str(tmp_path))

    assert make_decoder("percent", {"of_what": "battery", "text": "hex"}).decode(b"383025", {}) == [{"battery": "80"}]
    assert set(DecoderOptions.model_fields) >= {"of", "text", "compression", "around"}
