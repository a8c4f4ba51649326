"""What a rule has made names the event that it comes of, in every form in which events leave."""

from __future__ import annotations

import json

import pytest

from contract_export_kit import EVERYTHING, assert_all_valid, envelopes
from fieldgate.forward.binary import BinaryProperties
from fieldgate.forward.encode import CloudEvents
from fieldgate.forward.raw import RawProperties
from fieldgate.mqtt.properties import read_properties
from fieldgate_devices.event import Address, Extra
from uplink_kit import RUN, make_event

CAUSE = f"{RUN:016x}-7"
CAUSED = make_event(8, extra=Extra(cause=CAUSE, notify=("pager",)))


def user_of(maker: RawProperties | BinaryProperties, event) -> dict[str, str]:
    (block,) = maker.blocks([event], is_stored=False)
    properties = read_properties(block)
    assert properties is not None
    return dict(properties.user)


def test_an_envelope_bears_the_id_of_the_event_that_it_comes_of():
    """A platform joins an alert with the reading that raised it by this attribute alone."""
    caused, plain = CloudEvents(gateway="gw", os_boot_of={}.get).envelopes([CAUSED, make_event(9)], is_stored=False)

    assert json.loads(caused)["cause"] == CAUSE
    assert "cause" not in json.loads(plain)


def test_the_properties_of_raw_and_of_binary_mode_bear_it():
    """Who takes the device's own bytes has no envelope to look into."""
    assert user_of(RawProperties(os_boot_of={}.get), CAUSED)["fieldgate-cause"] == CAUSE
    assert user_of(BinaryProperties(gateway="gw", os_boot_of={}.get), CAUSED)["cause"] == CAUSE


@pytest.mark.parametrize("maker", [RawProperties(os_boot_of={}.get), BinaryProperties(gateway="gw", os_boot_of={}.get)])
def test_an_event_without_a_cause_says_nothing_of_one(maker):
    """The control: an extra alone, such as the device's own time, makes no cause."""
    assert not {"cause", "fieldgate-cause"} & user_of(maker, make_event(8, extra=Extra(at_ns=1))).keys()


def test_where_an_event_goes_is_not_told_to_those_who_get_it():
    """Names of other uplinks are the gateway's business."""
    (envelope,) = envelopes([make_event(8, extra=Extra(uplinks=("cloud",), notify=("pager",)))])

    assert "cloud" not in json.dumps(envelope)
    assert "pager" not in json.dumps(envelope)


def test_the_exported_contract_knows_the_attribute_and_its_form():
    """Generated code must take it, and nothing that is no id."""
    (envelope,) = envelopes([make_event(8, address=Address("site.a", "generic", "site/a"), extra=Extra(cause=CAUSE))])

    assert_all_valid([envelope])
    assert not EVERYTHING.is_valid(envelope | {"cause": "boiler-7"})
