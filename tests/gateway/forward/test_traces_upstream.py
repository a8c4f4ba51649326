"""The trace of an event goes upstream in every form in which events leave, and through the journal."""

from __future__ import annotations

import json

import msgspec
import pytest

from contract_export_kit import EVERYTHING, assert_all_valid, envelopes
from fieldgate.forward.binary import BinaryProperties
from fieldgate.forward.encode import CloudEvents
from fieldgate.forward.raw import RawProperties
from fieldgate.journal.blocks import decode_body, encode_body
from fieldgate.mqtt.properties import read_properties
from fieldgate_devices.event import Address, Extra, Trace
from uplink_kit import RUN, make_event

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = 'rojo=0,odd="quoted'
TRACE = Trace(PARENT, STATE, "1" * 16)
TRACED = make_event(8, address=Address("site.a", "generic", "site/a"), extra=Extra(trace=TRACE))


def test_an_envelope_bears_the_attributes_of_the_extension_distributed_tracing() -> None:
    """CloudEvents names them; what our own spans are called is nobody's business but a collector's."""
    traced, short, plain = CloudEvents(gateway="gw", os_boot_of={}.get).envelopes(
        [TRACED, make_event(9, extra=Extra(trace=Trace(PARENT))), make_event(10)], is_stored=False
    )

    assert (json.loads(traced)["traceparent"], json.loads(traced)["tracestate"]) == (PARENT, STATE)
    assert json.loads(short)["traceparent"] == PARENT
    assert "tracestate" not in json.loads(short)
    assert b"trace" not in plain
    assert TRACE.span.encode() not in traced


@pytest.mark.parametrize("maker", [RawProperties(os_boot_of={}.get), BinaryProperties(gateway="gw", os_boot_of={}.get)])
def test_over_mqtt_5_they_are_user_properties_of_the_same_names(maker: RawProperties | BinaryProperties) -> None:
    """Whoever reads a traceparent of a device reads it behind the gateway too."""
    traced, plain = (read_properties(block) for block in maker.blocks([TRACED, make_event(9)], is_stored=False))

    assert traced is not None
    assert plain is not None
    assert {("traceparent", PARENT), ("tracestate", STATE)} <= set(traced.user)
    assert not {"traceparent", "tracestate"} & dict(plain.user).keys()


def test_a_block_of_the_journal_keeps_it_and_one_of_an_earlier_version_has_none() -> None:
    """It is passed on after an outage of a week; and what an update finds on the disk stays readable, both ways."""
    (event,) = decode_body(encode_body([TRACED], run=RUN), run=RUN, lane=1, seqs=[8])
    assert event.extra == Extra(trace=TRACE)

    columns = msgspec.to_builtins(Extra(cause="x", trace=TRACE))
    assert msgspec.convert(columns[:6], Extra) == Extra(cause="x")
    assert msgspec.convert([*columns, "of a later version"], Extra).trace == TRACE


def test_the_exported_contract_knows_the_attributes_and_their_form() -> None:
    """Generated code must take them, and nothing that is no traceparent."""
    (envelope,) = envelopes([TRACED])

    assert_all_valid([envelope])
    assert not EVERYTHING.is_valid(envelope | {"traceparent": "nonsense"})
