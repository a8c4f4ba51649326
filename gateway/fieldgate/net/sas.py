"""Shared access signatures: passwords that are made from a key and the time, and end.

Laws of this file: time is an argument, in seconds; no clock, no socket. The key stays here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import quote

from fieldgate.config.sas import SasConfig

__all__ = ["AZURE_USERNAME", "SasTokens", "sas_token"]

AZURE_USERNAME: Final = "{host}/{client_id}/?api-version=2021-04-12"
"""Who a device of Azure IoT Hub has to be, in MQTT 3.1.1."""

_MARGIN: Final = 0.15  # of a token's time: how long before its end the next one is taken
_MAX_MARGIN_S: Final = 300.0


def sas_token(*, resource: str, key: bytes, expires_at_s: int, policy: str | None = None) -> str:
    """Return the token that opens ``resource`` until ``expires_at_s`` (seconds since 1970)."""
    scope = quote(resource, safe="")
    signature = hmac.digest(key, f"{scope}\n{expires_at_s}".encode(), hashlib.sha256)
    token = f"SharedAccessSignature sr={scope}&sig={quote(base64.b64encode(signature), safe='')}&se={expires_at_s}"
    return token if policy is None else f"{token}&skn={quote(policy, safe='')}"


class SasTokens:
    """The tokens of one client, one after the other.

    The next is to be taken from ``renew_at_s`` on (boot time), and at the latest at ``late_at_s``.
    """

    def __init__(self, config: SasConfig, *, host: str, client_id: str) -> None:
        self.renew_at_s = self.late_at_s = float("inf")
        self._key = base64.b64decode(config.key.reveal())
        self._ttl_s = config.ttl
        self._policy = config.policy
        device = host if config.policy is not None else f"{host}/devices/{client_id}"
        self._resource = config.resource or device

    def take(self, *, now_s: float, wall_s: float) -> str:
        """Return a token that is valid from now on; ``now_s`` is boot time, ``wall_s`` the time of day."""
        margin_s = min(self._ttl_s * _MARGIN, _MAX_MARGIN_S)
        self.renew_at_s = now_s + self._ttl_s - margin_s
        self.late_at_s = now_s + self._ttl_s - margin_s / 2
        expires_at_s = int(wall_s + self._ttl_s)
        return sas_token(resource=self._resource, key=self._key, expires_at_s=expires_at_s, policy=self._policy)
