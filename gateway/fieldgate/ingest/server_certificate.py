"""A listener's TLS files while it runs: changed ones are used for new connections, and its own end is told in time.

What cannot be used leaves the last good certificate in force; ``problem`` says so until it is mended.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import structlog

from fieldgate.clock import wall_ns
from fieldgate.config.listen import ListenTlsConfig
from fieldgate.ingest.access_files import Signature, signature
from fieldgate.ingest.access_thread import AccessThread
from fieldgate.net.server_tls import ServerTls, TlsFileError, load_server_tls, tls_files

__all__ = ["ServerCertificate"]

_LOOK_EVERY_S: Final = 1.0
_TELL_EVERY_S: Final = 86_400.0

log = structlog.get_logger("fieldgate")


class ServerCertificate:
    """What new connections of one listener use."""

    def __init__(self, settings: ListenTlsConfig, *, name: str) -> None:
        self.problem = ""
        self._settings = settings
        self._name = name
        self._tls: ServerTls | None = None
        self._signatures: tuple[Signature, ...] = ()
        self._is_reading = False
        self._look_at_s = 0.0
        self._tell_at_s = 0.0

    def open(self) -> None:
        """Read the files, before the first client can come.

        Raises:
            TlsFileError: they cannot be used.
        """
        self._signatures = self._look()
        self._tls = load_server_tls(self._settings)
        self.problem = ""
        self._is_reading = False

    def use(self, settings: ListenTlsConfig, tls: ServerTls) -> None:
        """From now on by these settings, and what was made of their files just now."""
        signatures = tuple(signature(path) for path in tls_files(settings))
        is_known = settings == self._settings and signatures == self._signatures and not self.problem
        self._settings, self._signatures = settings, signatures
        if not is_known:
            self._loaded(tls)

    @property
    def current(self) -> ServerTls:
        """The certificate in force."""
        assert self._tls is not None, "open() comes first"
        return self._tls

    @property
    def expires_in_s(self) -> float | None:
        """How long the certificate is still good by this machine's clock; negative when it is not."""
        if self._tls is None:
            return None
        return (self._tls.expires_at - datetime.fromtimestamp(wall_ns() / 1e9, UTC)).total_seconds()

    @property
    def warning(self) -> str:
        """What a person must do something about."""
        if self.problem:
            return f"the changed TLS files cannot be used, the old ones are in force: {self.problem}"
        return self._tls.warning(datetime.fromtimestamp(wall_ns() / 1e9, UTC)) if self._tls is not None else ""

    def tick(self, now_s: float, thread: AccessThread) -> None:
        """Look now and then whether the files have changed, and whether the end is near."""
        if now_s >= self._tell_at_s:
            self._tell_at_s = now_s + _TELL_EVERY_S
            if warning := self.warning:
                log.warning("certificate.needs_care", listener=self._name, problem=warning)
        if now_s < self._look_at_s or self._is_reading:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        seen = self._look()
        if seen != self._signatures:
            self._signatures = seen
            self._is_reading = True
            thread.submit(self._load, self._loaded)

    def _look(self) -> tuple[Signature, ...]:
        return tuple(signature(path) for path in tls_files(self._settings))

    def _load(self) -> ServerTls | str:
        try:
            return load_server_tls(self._settings)
        except TlsFileError as error:  # a key that is written after its certificate makes one of these in passing
            return str(error)

    def _loaded(self, loaded: ServerTls | str) -> None:
        self._is_reading = False
        if isinstance(loaded, str):
            self.problem = loaded
        else:
            self._tls, self.problem = loaded, ""
            log.info("certificate.changed", listener=self._name, expires_at=loaded.expires_at.isoformat())
        self._tell_at_s = 0.0
