"""Devices of the registry as they are stored: one text for what is known, one for the history of its numbers.

Fields are stored by position: append new ones with a default, never reorder.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

import msgspec

from fieldgate.ingest.device_entry import Device, Key, Said
from fieldgate_devices.event import Stamp

__all__ = ["decode_device", "decode_history", "encode_device", "encode_history", "read_devices"]


class _Said(msgspec.Struct, array_like=True):
    topic: str
    data: bytes | None
    is_json: bool
    size_bytes: int
    stamp: Stamp
    lane: int


class _Device(msgspec.Struct, array_like=True):
    type: str
    name: str
    version: int
    first: Stamp
    first_boot: str
    last: Stamp | None
    last_boot: str
    last_s: float
    messages: int
    errors: int
    last_error: str
    is_silent: bool
    fields: dict[str, str]
    topics: list[_Said]


class _History(msgspec.Struct, array_like=True):
    topic: str
    period_s: float
    times: list[float]
    columns: dict[str, list[float]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Device).decode
_decode_history = msgspec.msgpack.Decoder(list[_History]).decode


def encode_device(device: Device) -> bytes:
    """Return everything but the history."""
    topics = [
        _Said(topic, said.data, said.is_json, said.size_bytes, said.stamp, said.lane)
        for topic, said in device.topics.items()
    ]
    return _encode(
        _Device(
            device.type,
            device.name,
            device.version,
            device.first,
            device.first_boot,
            device.last,
            device.last_boot,
            device.last_s,
            device.messages,
            device.errors,
            device.last_error,
            device.is_silent,
            device.fields,
            topics,
        )
    )


def decode_device(text: bytes) -> Device:
    """Return the device.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    one = _decode(text)
    topics = {said.topic: Said(said.data, said.is_json, said.size_bytes, said.stamp, said.lane) for said in one.topics}
    return Device(
        one.type,
        one.name,
        one.version,
        one.first,
        one.first_boot,
        one.last,
        one.last_boot,
        one.last_s,
        one.messages,
        one.errors,
        one.last_error,
        one.is_silent,
        topics,
        one.fields,
    )


def encode_history(device: Device) -> bytes | None:
    """Return the history of all its topics; None where there is none."""
    histories = [
        _History(topic, said.period_s, list(said.times), {name: list(one) for name, one in said.columns.items()})
        for topic, said in device.topics.items()
        if said.columns
    ]
    return _encode(histories) if histories else None


def decode_history(device: Device, text: bytes) -> None:
    """Give a device its history back, as far as its topics are known.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    for one in _decode_history(text):
        said = device.topics.get(one.topic)
        if said is None or any(len(column) != len(one.times) for column in one.columns.values()):
            continue
        said.period_s, said.times = one.period_s, array("d", one.times)
        said.columns = {name: array("d", column) for name, column in one.columns.items()}


def read_devices(devices: Iterable[bytes], histories: Mapping[Key, bytes]) -> tuple[list[Device], int]:
    """Return the devices in stored texts, and how many texts could not be read."""
    found: list[Device] = []
    unreadable = 0
    for text in devices:
        try:
            device = decode_device(text)
        except msgspec.MsgspecError:
            unreadable += 1
            continue
        found.append(device)
        if (history := histories.get(device.key)) is not None:
            try:
                decode_history(device, history)
            except msgspec.MsgspecError:
                unreadable += 1
    return found, unreadable
