"""The schema that editors use: it takes every profile that is right and shows the mistakes that a schema can show."""

from __future__ import annotations

import textwrap
from pathlib import Path

import jsonschema
import pytest

from fieldgate_devices.builtin import builtin_profiles
from fieldgate_devices.decoders.make import BUILT_IN
from fieldgate_devices.files.document import read_yaml
from fieldgate_devices.profile_schema import SCHEMA_FILE, editor_line, profile_schema, schema_text
from profile_kit import BOILER

SHIPPED = Path(__file__).parents[2] / "deploy/config" / SCHEMA_FILE
SCHEMA = profile_schema()


def complaints(text: str | bytes) -> list[str]:
    """What an editor would underline."""
    content = textwrap.dedent(text).encode() if isinstance(text, str) else text
    root = read_yaml(content, "p.yaml").root
    assert root is not None
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(root.value())]


def test_it_is_a_schema_of_2020_12():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_shipped_file_is_up_to_date():
    """`fieldgate devices schema > deploy/config/profile.schema.json` makes it anew."""
    assert SHIPPED.read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("path", sorted(builtin_profiles()))
def test_it_takes_every_built_in_profile(path):
    """An editor that underlines what we ship would be switched off."""
    assert complaints(builtin_profiles()[path]) == []


@pytest.mark.parametrize("path", sorted(builtin_profiles()))
def test_every_built_in_profile_names_it(path):
    """`eject` gives the author a file that the editor completes."""
    first = builtin_profiles()[path].decode().partition("\n")[0] + "\n"

    assert first == editor_line()


SHORT_FORMS = [
    BOILER,
    'profile: p\nmatch: [{mqtt: "a/{device}"}, {serial: scale}]\nother_fields: keep\n',
    'profile: p\nmatch: {mqtt: a, json: {m: ["A*", 3], x: {exists: true}}}\nfields: {a: {type: int, from: [a, b]}}\n',
    'profile: p\nmatch: {mqtt: a}\ndecode: {csv: {delimiter: ";", columns: [t, null]}}\nfields: {t: {type: float}}\n',
    "profile: p\nmatch: {mqtt: a}\ndecode: {binary: {layout: [{name: t, type: i16}]}}\nfields: {t: {type: float}}\n",
    "profile: p\nmatch: {mqtt: a}\ndecode: {json: }\nfields: {t: {type: float}}\n",
]


@pytest.mark.parametrize("text", SHORT_FORMS)
def test_it_takes_the_short_forms(text):
    """What the loader takes must not look wrong: one entry in place of a list, a decoder's name alone."""
    assert complaints(text) == []


BROKEN = [
    ("profile: Boiler\nmatch: {mqtt: a}\n", "does not match"),
    ("match: {mqtt: a}\n", "'profile' is a required property"),
    ("profile: p\nmatch: {mqtt: a}\nfeilds: {}\n", "feilds"),
    ("profile: p\nmatch: {topic: a}\n", "is not valid under any of the given schemas"),
    ("profile: p\nmatch: {mqtt: a}\nfields: {t: {type: number}}\n", "is not one of"),
    ("profile: p\nmatch: {mqtt: a}\nfields: {Temp: {type: float}}\n", "does not match"),
    ("profile: p\nmatch: {mqtt: a}\nfields: {device: {type: float}}\n", "should not be valid"),
    ("profile: p\nmatch: {mqtt: a}\nfields: {t: {type: float, min: low}}\n", "is not valid under any"),
    ("profile: p\nmatch: {mqtt: a}\ndecode: jsn\n", "is not valid under any of the given schemas"),
    ("profile: p\nmatch: {mqtt: a}\ndecode: {csv: {delimeter: ;}}\n", "is not valid under any of the given schemas"),
    ("profile: p\nmatch: {mqtt: a}\ndecode: {csv: {}, json: {}}\n", "is not valid under any of the given schemas"),
    ("profile: p\nmatch: {mqtt: a}\nsilent_after: 5 minutes\n", "is not valid under any"),
    ("profile: p\nmatch: {mqtt: a}\nupgrade: {one: {}}\n", "does not match"),
]


@pytest.mark.parametrize(("text", "part"), BROKEN)
def test_it_shows_a_mistake(text, part):
    found = complaints(text)

    assert any(part in one for one in found), found


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_each_decoder_has_its_options_in_it(name):
    """Completion inside of `decode:` comes from here."""
    wrong = {"profile": "p", "match": {"mqtt": "a"}, "decode": {name: {"no_such_option": 1}}}

    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(wrong)
