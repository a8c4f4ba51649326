"""``sas``: a token made from a shared key in place of a password, as Azure IoT Hub wants it."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, Field

from fieldgate.config.secrets import Secret, once_resolved
from fieldgate_devices.files.quantities import Duration
from fieldgate_devices.files.section import Section

__all__ = ["SasConfig"]


def _check_base64(key: Secret) -> Secret:
    try:
        decoded = base64.b64decode(key.reveal(), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise ValueError("the shared key is not base64, as the portal shows it; copy it whole, with the '=' at its end")
    return key


class SasConfig(Section):
    """A shared access signature: valid for a while, made anew before it ends."""

    key: Annotated[Secret, AfterValidator(once_resolved(_check_base64))] = Field(
        description="Where the shared key is (base64). It never leaves this machine; the token made from it does.",
        examples=["${credential:device-key}"],
    )
    ttl: Annotated[float, Duration("10s", "365d")] = Field(
        3600.0,
        description="How long each token is valid. Shortly before its end the connection is made anew with the next.",
    )
    policy: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None,
        description="Name of the shared access policy that the key belongs to. Default: it is the device's own key.",
        examples=["device"],
    )
    resource: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None,
        description="What the token is for. Default: HOST/devices/CLIENT_ID, or HOST with a policy.",
        examples=["myhub.azure-devices.net/devices/plant-7"],
    )
