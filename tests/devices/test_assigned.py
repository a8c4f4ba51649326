"""A source that names a profile: its messages are of that profile, whatever `match` says."""

from __future__ import annotations

from fieldgate_devices.catalogue import Assigned, Catalogue
from fieldgate_devices.reading import read_profile

SCALE = b"""
profile: scale
decode: {regex: {pattern: '(?P<kg>[0-9.]+) kg'}}
fields: {kg: {type: float, unit: kg}}
examples: [{in: '12.5 kg', device: yard, out: {kg: 12.5}}]
"""
TAKES_ALL = b"""
profile: anything
match: {mqtt: "#"}
fields: {v: {type: float, optional: true}}
"""


def catalogue(**assigned: Assigned) -> Catalogue:
    contracts = []
    for name, text in (("scale.yaml", SCALE), ("all.yaml", TAKES_ALL)):
        file = read_profile(text, name)
        assert file.problems == []
        assert file.contract is not None
        contracts.append(file.contract)
    return Catalogue(contracts, assigned={f"serial/{name}": one for name, one in assigned.items()})


def test_a_message_of_a_source_that_names_a_profile_is_of_that_profile():
    """Of a profile without `match` and of a topic that another profile takes, too."""
    found = catalogue(a=Assigned("scale", "yard", "a")).find("serial/a", b"12.5 kg")

    assert found is not None
    assert found.contract.profile.profile == "scale"
    assert found.device == "yard"
    (reading,) = found.contract.read(b"12.5 kg", found.captures, "serial/a")
    assert (reading.device, reading.data) == ("yard", b'{"kg":12.5}')


def test_other_topics_are_not_touched():
    found = catalogue(a=Assigned("scale", "yard", "a")).find("serial/b", b"12.5 kg")

    assert found is not None
    assert found.contract.profile.profile == "anything"


def test_a_profile_that_is_not_there_leaves_the_message_to_others():
    found = catalogue(a=Assigned("scal", "yard", "a")).find("serial/a", b"{}")

    assert found is not None
    assert found.contract.profile.profile == "anything"
