"""TLS as clients use it: the other side is always verified, our own certificate is shown where there is one."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from fieldgate.config.certificates import Validity, read_validity
from fieldgate.config.far_side import FarSide
from fieldgate.config.key_files import client_context, load_own
from fieldgate.errors import UplinkError

__all__ = ["TlsContexts"]

_Stamp = tuple[int, int, int]


class TlsContexts:
    """The TLS context for one broker: always verifies, TLS 1.2 or later; made anew when a file of it has changed."""

    def __init__(self, config: FarSide) -> None:
        self._ca, self._certificate, self._key = config.ca, config.certificate, config.key
        self._alpn = list(config.alpn)
        self._made: tuple[list[_Stamp | None], ssl.SSLContext] | None = None

    @property
    def is_outdated(self) -> bool:
        """Whether a file has changed since `get` returned what was made of it."""
        return self._made is not None and self._made[0] != self._stamps()

    def _stamps(self) -> list[_Stamp | None]:
        return [_stamp(path) for path in (self._ca, self._certificate, self._key)]

    def get(self) -> ssl.SSLContext:
        """Return the context.

        Raises:
            UplinkError: one of the files cannot be used.
        """
        stamps = self._stamps()
        if self._made is None or self._made[0] != stamps:
            self._made = (stamps, self._make())
        return self._made[1]

    def is_too_early(self, wall_ns: int) -> bool:
        """Whether our own certificate is not valid yet at this time."""
        validity = self._validity()
        return validity is not None and datetime.fromtimestamp(wall_ns / 1e9, UTC) < validity.not_before

    def _validity(self) -> Validity | None:
        try:
            return read_validity(self._certificate) if self._certificate is not None else None
        except (OSError, ValueError):  # `get` says so
            return None

    def own_problem(self, wall_ns: int) -> str:
        """Return in words what is wrong with our own certificate at this time; nothing if it is well, or not there."""
        validity = self._validity()
        if validity is None:
            return ""
        now = datetime.fromtimestamp(wall_ns / 1e9, UTC)
        clock = f"(this machine's clock says {now:%Y-%m-%d %H:%M} UTC"
        if now > validity.not_after:
            end = f"{validity.not_after:%Y-%m-%d %H:%M} UTC"
            return f"our own certificate {self._certificate} has expired at {end} {clock})"
        if now < validity.not_before:
            return f"our own certificate {self._certificate} is not valid yet {clock}; is it set?)"
        return ""

    def _make(self) -> ssl.SSLContext:
        try:
            context = client_context(self._ca)
            if self._certificate is not None:
                load_own(context, self._certificate, self._key or self._certificate)
        except ValueError as error:
            raise UplinkError(str(error)) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        return context


def _stamp(path: Path | None) -> _Stamp | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
