"""Events as they go upstream: CloudEvents 1.0 in structured JSON, or the device's own bytes.

An envelope is a function of the event alone (and of whether it was overtaken, ``drained``), so it is the same bytes
however often it is made. Members, in this order:

    specversion, id, source, type, subject, dataschema, time, datacontenttype,
    lane            "high" or "low"; absent for normal
    timequality     "unsynced" or "estimated"; absent where the clock could be trusted; with it
    osboot          the OS boot during which the event was received, and
    uptimems        the milliseconds since that boot (a string: CloudEvents integers have 32 bits)
    drained         true where newer events have passed this one (``drain: live_first``)
    receivedat      when it was received, where ``time`` is the device's own
    replayed        true where the message was a dead letter before
    cause           of what a rule has made: the id (without a suffix) of the event that it comes of
    traceparent     of what belongs to a trace (extension Distributed Tracing): the trace in which it began, and
    tracestate      what vendors add to that
    contentid       16 hex digits; equal for what a device sent again because its acknowledgement was lost
    data            the JSON text exactly as stored, or data_base64

``id`` is ``<run>-<seq>``, with ``-gap`` for a gap event, which bears the number of the last event it stands for.
``source`` is ``fieldgate/<gateway>/<device>`` as a URI reference (other characters percent-encoded), ``type`` is
``fieldgate.<type>``. ``dataschema`` (``urn:fieldgate:<type>:<version>``) names the contract that the data keeps; what a
device without one says (``fieldgate.generic``) is flattened here. In ``raw`` over MQTT 5 the same facts travel as user
properties.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import msgspec

from fieldgate_devices.event import GENERIC, Address, Event, Extra, Lane, Stamp, TimeQuality, Trace
from fieldgate_devices.generic import Flattener
from fieldgate_devices.trace_context import TRACEPARENT, TRACESTATE

__all__ = [
    "BINARY_TYPE", "GAP_TYPE", "JSON_TYPE", "CloudEvents", "OsBootOf", "PlainData", "TimeText", "address_texts",
    "doubts", "extra_texts", "id_suffix", "schema_of", "trace_texts",
]  # fmt: skip

JSON_TYPE: Final = "application/json"
BINARY_TYPE: Final = "application/octet-stream"
GAP_TYPE: Final = "gap"

_JSON_TYPE_BYTES: Final = JSON_TYPE.encode()
_BINARY_TYPE_BYTES: Final = BINARY_TYPE.encode()
_GAP_TOPIC: Final = "fieldgate/gap"
_MAX_CACHED: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_WALL_NS: Final = 253_402_300_799 * 10**9  # the end of the year 9999
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_TEXTS: Final = ("cause", TRACEPARENT, TRACESTATE)
_URI_SAFE: Final = "/:@!$&'()*+,;=-._~"

OsBootOf = Callable[[int], str | None]
"""Answers the kernel's boot id under which a run lived; None where it is not known."""


class TimeText:
    """RFC 3339 in UTC with microseconds, cut off, within the years 1970 to 9999; remembers the last second's text."""

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def of(self, wall_ns: int) -> bytes:
        """Return the text for ``wall_ns``."""
        second, rest_ns = divmod(min(max(wall_ns, 0), _MAX_WALL_NS), 1_000_000_000)
        if second != self._second:
            at = _EPOCH + timedelta(seconds=second)
            self._second, self._text = second, at.strftime("%Y-%m-%dT%H:%M:%S").encode()
        return b"%b.%06dZ" % (self._text, rest_ns // 1000)


def address_texts(address: Address, gateway: str) -> tuple[str, str, str]:
    """Return ``source``, ``type`` and ``subject`` (may be empty) of an event."""
    source = f"fieldgate/{quote(gateway, safe=_URI_SAFE)}/{quote(address.device, safe=_URI_SAFE, errors='replace')}"
    return source, _FORBIDDEN.sub("_", f"fieldgate.{address.type}"), _FORBIDDEN.sub("_", address.device)


def id_suffix(address: Address) -> str:
    """Return what follows ``<run>-<seq>`` in the id."""
    return "-gap" if address.type == GAP_TYPE and address.topic == _GAP_TOPIC else ""


def schema_of(address: Address) -> str:
    """Return the ``dataschema`` of an event's data; empty where no profile gives one."""
    return f"urn:fieldgate:{address.type}:{address.version}" if address.version else ""


class PlainData:
    """The data of events as it goes upstream.

    JSON of a device that no profile names is flattened; what cannot be (a member twice, too many) goes as it came.
    """

    def __init__(self) -> None:
        self._flatteners: dict[Address, Flattener] = {}

    def of(self, event: Event) -> tuple[bytes, bool]:
        """Return the data, and whether it is JSON."""
        if event.address.type != GENERIC or not event.is_json:
            return event.data, event.is_json
        flatten = self._flatteners.get(event.address)
        if flatten is None:
            if len(self._flatteners) >= _MAX_CACHED:
                self._flatteners.clear()
            flatten = self._flatteners[event.address] = Flattener()
        flat = flatten(event.data)
        return (event.data, False) if flat is None else (flat, True)


def extra_texts(extra: Extra | None, stamp: Stamp, time_text: Callable[[int], bytes]) -> tuple[str, dict[str, str]]:
    """Return the ``time`` of an event, and what its `Extra` has to say beside that, as texts."""
    if extra is None:
        return time_text(stamp.wall_ns).decode(), {}
    received_at = time_text(stamp.wall_ns).decode()
    said = {} if extra.at_ns is None else {"receivedat": received_at}
    if extra.is_replayed:
        said["replayed"] = "true"
    if extra.cause:
        said["cause"] = extra.cause
    if extra.trace is not None:
        said |= trace_texts(extra.trace)
    return (received_at if extra.at_ns is None else time_text(extra.at_ns).decode()), said


def trace_texts(trace: Trace) -> dict[str, str]:
    """Return what is said of a trace, under the names that W3C and CloudEvents give it: never with a prefix."""
    return {TRACEPARENT: trace.parent, TRACESTATE: trace.state} if trace.state else {TRACEPARENT: trace.parent}


def doubts(stamp: Stamp, os_boot_of: OsBootOf) -> dict[str, str]:
    """Return what is to be said of a time that is not trusted; empty where it is."""
    if stamp.quality == TimeQuality.SYNCED:
        return {}
    said = {"timequality": TimeQuality(stamp.quality).name.lower()}
    if os_boot := os_boot_of(stamp.run):
        said["osboot"] = os_boot
    return {**said, "uptimems": str(stamp.boot_ns // 1_000_000)}


class CloudEvents:
    """Makes CloudEvents envelopes, a run at a time."""

    def __init__(self, *, gateway: str, os_boot_of: OsBootOf) -> None:
        self._gateway = gateway
        self._os_boot_of = os_boot_of
        self._addresses: dict[Address, bytes] = {}
        self._generic: dict[Address, bytes] = {}  # apart, so that the hot loop need not ask whose data is flattened
        self._plain_data = PlainData().of
        self._time_text = TimeText().of

    def envelopes(self, events: Sequence[Event], *, is_stored: bool) -> list[bytes]:
        """Return the envelope of each event."""
        # One formatting call per event: everything that events of one batch share is bytes already.
        envelopes: list[bytes] = []
        append = envelopes.append
        known = self._addresses.get
        stamp = lane = is_json = None
        head = tail = b""
        for event in events:
            if event.stamp is not stamp or event.is_json is not is_json or event.lane != lane:
                stamp, lane, is_json = event.stamp, event.lane, event.is_json
                head, tail = self._stamp_parts(stamp, lane, is_json=is_json, is_stored=is_stored)
            middle, data = known(event.address), event.data
            if event.extra is not None:
                append(self._unusual(event, is_stored=is_stored))
                continue
            if middle is None:
                data, is_still_json = self._plain_data(event)
                if is_still_json is not is_json:
                    append(self._unusual(event, is_stored=is_stored))
                    continue
                middle = self._generic.get(event.address) or self._address_part(event.address)
            if is_json and event.content_id:
                append(
                    b'%b%d%b%b,"contentid":"%016x","data":%b}' % (head, event.seq, middle, tail, event.content_id, data)
                )
            else:
                append(b"%b%d%b%b%b}" % (head, event.seq, middle, tail, _end(event, data, is_json=is_json)))
        return envelopes

    def _unusual(self, event: Event, *, is_stored: bool) -> bytes:
        """The envelope of an event that has an `Extra`, or whose JSON cannot be flattened."""
        data, is_json = self._plain_data(event)
        head, tail = self._stamp_parts(event.stamp, event.lane, is_json=is_json, is_stored=is_stored, extra=event.extra)
        middle = self._generic.get(event.address) or self._address_part(event.address)
        end = _end(event, data, is_json=is_json)
        return b"%b%d%b%b%b}" % (head, event.seq, middle, tail, end)

    def _stamp_parts(
        self, stamp: Stamp, lane: int, *, is_json: bool, is_stored: bool, extra: Extra | None = None
    ) -> tuple[bytes, bytes]:
        at, said = extra_texts(extra, stamp, self._time_text)
        tail = b',"time":"%b","datacontenttype":"%b"' % (
            at.encode(),
            _JSON_TYPE_BYTES if is_json else _BINARY_TYPE_BYTES,
        )
        if lane != Lane.NORMAL:
            tail += b',"lane":"%b"' % Lane(lane).name.lower().encode()
        if stamp.quality != TimeQuality.SYNCED:
            tail += b"," + msgspec.json.encode(doubts(stamp, self._os_boot_of))[1:-1]
        if is_stored:
            tail += b',"drained":true'
        if "receivedat" in said:
            tail += b',"receivedat":"%b"' % said["receivedat"].encode()
        if "replayed" in said:
            tail += b',"replayed":true'
        for name in _TEXTS:
            if name in said:
                tail += b',"%b":%b' % (name.encode(), msgspec.json.encode(said[name]))
        return b'{"specversion":"1.0","id":"%016x-' % stamp.run, tail

    def _address_part(self, address: Address) -> bytes:
        source, kind, subject = address_texts(address, self._gateway)
        members = {"source": source, "type": kind}
        if subject:
            members["subject"] = subject
        if schema := schema_of(address):
            members["dataschema"] = schema
        part = id_suffix(address).encode() + b'",' + msgspec.json.encode(members)[1:-1]
        known = self._generic if address.type == GENERIC else self._addresses
        if len(known) >= _MAX_CACHED:
            known.clear()
        known[address] = part
        return part


def _end(event: Event, data: bytes, *, is_json: bool) -> bytes:
    """The last members of an envelope. What the gateway itself made, and nobody can send again, has no content id."""
    content_id = b',"contentid":"%016x"' % event.content_id if event.content_id else b""
    if is_json:
        return b'%b,"data":%b' % (content_id, data)
    return b'%b,"data_base64":"%b"' % (content_id, b2a_base64(data, newline=False))
