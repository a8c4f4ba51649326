"""Files of certificates and keys: where they are, that they belong together, and that a key is not open to everyone."""

from __future__ import annotations

import os
import re
import ssl
import stat
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo

from fieldgate.config.secrets import credential_path, references_of
from fieldgate.config.section import from_config_folder

__all__ = ["PemFile", "check_private", "client_context", "file_problem", "load_own", "ssl_detail"]

_SSL_FRAME: Final = re.compile(r"^\[[^]]*\] | \(_ssl.*$")  # of errors for which Python has no name
_END_OF_CERTIFICATE: Final = re.compile(rb"-----END (?:TRUSTED |X509 )?CERTIFICATE-----")
_END_OF_KEY: Final = re.compile(rb"-----END [A-Z0-9 ]*PRIVATE KEY-----")
_CREDENTIAL: Final = re.compile(r"\$\{credential:([^{}]*)\}")


def _pem_path(path: Path, info: ValidationInfo) -> Path:
    """``${credential:NAME}`` is that file, or stays as it is where references are kept."""
    written = str(path)
    if (match := _CREDENTIAL.fullmatch(written)) is not None:
        wanted = references_of(info)
        return path if wanted == "kept" else credential_path(match[1], wanted=wanted)
    if "${" in written:
        raise ValueError(f"{written!r} is neither a path nor ${{credential:NAME}}, the only reference that is a file")
    return from_config_folder(path, info)


PemFile = Annotated[Path, Field(strict=False), AfterValidator(_pem_path)]


def check_private(path: Path) -> None:
    """Refuse a key that every user of this machine can open; those of systemd are guarded by their folder.

    Raises:
        OSError: there is no such file.
        ValueError: it is open to everyone.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if mode & 0o007 and not (folder and path.parent == Path(folder)):
        raise ValueError(f"{str(path)!r} is open to everyone (mode {mode:04o}); allowed: 0600, 0640")


def load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Have ``context`` show our own certificate.

    Raises:
        ValueError: the files cannot be used, do not belong together, or the key is open to everyone.
    """
    try:
        check_private(key)
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"{str(key)!r} is not the key of the certificate {str(certificate)!r}") from error
        for path, end, what in ((certificate, _END_OF_CERTIFICATE, "certificate"), (key, _END_OF_KEY, "private key")):
            if not end.search(path.read_bytes()):
                raise ValueError(f"{str(path)!r} holds no whole {what} in PEM form") from error
        files = " and ".join(repr(str(path)) for path in dict.fromkeys((certificate, key)))
        raise ValueError(f"no usable certificate and key in PEM form in {files}: {ssl_detail(error)}") from error
    except OSError as error:
        unread = next((path for path in (key, certificate) if file_problem(path)), certificate)
        raise ValueError(f"{str(unread)!r} cannot be read: {ssl_detail(error)}") from error


def client_context(ca: Path | None) -> ssl.SSLContext:
    """Return a TLS context that verifies servers, by the authorities of a PEM file or else those of the system.

    Raises:
        ValueError: the file holds none, or cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        problem = f"{str(ca)!r} is no usable PEM file of certificate authorities: {ssl_detail(error)}"
        raise ValueError(problem) from error


def file_problem(path: Path) -> str:
    """Return what is wrong with a file that is to be read, as far as the system says; empty if nothing is."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except ValueError:  # a NUL
        return "is not a file"
    except OSError as error:
        gone = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        return "is not a file" if gone else f"cannot be read: {ssl_detail(error)}"
    return ""


def ssl_detail(error: OSError) -> str:
    """What OpenSSL or the system says, as words."""
    said = str(getattr(error, "reason", None) or error.strerror or error)
    return _SSL_FRAME.sub("", said).replace("_", " ").lower()


def _no_passphrase() -> str:
    """Without this OpenSSL asks on the terminal."""
    raise ValueError("the key has a passphrase, which nobody can type here; write it without: openssl pkey -in KEY")
