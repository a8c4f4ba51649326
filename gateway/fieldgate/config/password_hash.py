"""Passwords as scrypt hashes that carry their own parameters: ``$scrypt$ln=14,r=8,p=1$SALT$HASH``.

Checking one takes tens of milliseconds and 16 MiB on purpose; call it where that holds up nobody. A hash whose
parameters would take more than `_MAX_BYTES` is refused when it is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["MAX_PASSWORD_BYTES", "PasswordHash"]

MAX_PASSWORD_BYTES: Final = 65_535  # as much as a CONNECT can hold [MQTT-3.1.3.5]

_COST_LOG2: Final = 14
_BLOCK_SIZE: Final = 8
_PARALLEL: Final = 1
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_MAX_BYTES: Final = 64 * 2**20
_MAX_PARALLEL: Final = 8
_FORM: Final = re.compile(
    r"\$scrypt\$ln=(?P<cost>[0-9]{1,2}),r=(?P<block>[0-9]{1,2}),p=(?P<parallel>[0-9]{1,2})"
    r"\$(?P<salt>[A-Za-z0-9+/]{11,86})\$(?P<hash>[A-Za-z0-9+/]{43})"
)  # all of the hash: half of one is what a file holds that was cut off


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """One stored hash; never shows the password, and `repr` not even the hash."""

    cost_log2: int
    block_size: int
    parallel: int
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: bytes) -> Self:
        """Hash ``password`` with a new salt."""
        blank = cls.of_nothing()
        return cls(_COST_LOG2, _BLOCK_SIZE, _PARALLEL, blank.salt, blank._digest_of(password))

    @classmethod
    def of_nothing(cls) -> Self:
        """Return a hash that no password has, with the usual parameters; made without hashing."""
        return cls(_COST_LOG2, _BLOCK_SIZE, _PARALLEL, os.urandom(_SALT_BYTES), bytes(_HASH_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a hash as it stands in a users file.

        Raises:
            ValueError: it is none, or too costly; the message shows nothing of it.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("this is not a password hash; 'fieldgate user passwd NAME' makes one")
        cost_log2, block_size, parallel = int(match["cost"]), int(match["block"]), int(match["parallel"])
        is_possible = 1 <= cost_log2 < 16 * block_size and 1 <= parallel <= _MAX_PARALLEL  # [RFC 7914 2]
        if not is_possible or 128 * block_size * 2**cost_log2 > _MAX_BYTES:
            raise ValueError(
                f"scrypt with ln={cost_log2}, r={block_size}, p={parallel} is not possible here; allowed: up to "
                f"{_MAX_BYTES >> 20} MiB (128 * r * 2**ln), ln below 16 * r and p up to {_MAX_PARALLEL}"
            )
        try:
            salt, digest = _decode(match["salt"]), _decode(match["hash"])
        except binascii.Error:
            raise ValueError("this password hash is damaged; 'fieldgate user passwd NAME' makes a new one") from None
        return cls(cost_log2, block_size, parallel, salt, digest)

    def verify(self, password: bytes) -> bool:
        """Say whether this is the password; takes as long for a wrong one as for the right one."""
        return hmac.compare_digest(self._digest_of(password), self.digest)

    def unknown(self) -> PasswordHash:
        """Return a hash of nothing that costs the same to check as this one."""
        return PasswordHash(self.cost_log2, self.block_size, self.parallel, self.salt, bytes(len(self.digest)))

    def __str__(self) -> str:
        parameters = f"ln={self.cost_log2},r={self.block_size},p={self.parallel}"
        return f"$scrypt${parameters}${_encode(self.salt)}${_encode(self.digest)}"

    def __repr__(self) -> str:
        return "PasswordHash(…)"

    def _digest_of(self, password: bytes) -> bytes:
        return hashlib.scrypt(
            password,
            salt=self.salt,
            n=2**self.cost_log2,
            r=self.block_size,
            p=self.parallel,
            maxmem=2 * _MAX_BYTES,
            dklen=len(self.digest),
        )


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
