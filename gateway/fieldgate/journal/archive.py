"""The file of a backup: a tar that any tool unpacks, of which not one bit can change without being noticed.

First the files, then ``manifest.json`` (what each is, its size and SHA-256), then ``SHA256SUM``: the digest of every
byte before its own header. What comes after that is fixed, so it is compared. A digest tells damage, not malice: an
archive is as trustworthy as whoever had it in hand; so nothing but plain files with plain names is taken from one.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import msgspec

from fieldgate.errors import FieldgateError

__all__ = ["FORMAT", "ArchiveError", "ArchiveReader", "ArchiveWriter", "Manifest", "Member"]

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_DIGEST: Final = "SHA256SUM"
_CHUNK_BYTES: Final = 1 << 20
_MAX_MANIFEST_BYTES: Final = 16 << 20
_MAGIC: Final = b"ustar"
_MAGIC_AT: Final = 257
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NAME: Final = re.compile(r"(?:state|config|outside)(?:/[^/\0]+)+")

Progress = Callable[[int], None]
"""Hears of bytes that are done."""


class ArchiveError(FieldgateError):
    """The archive cannot be written, or is not what was written."""


class Member(msgspec.Struct, frozen=True):
    """A file. ``name`` begins with ``state/``, ``config/`` (beside the configuration) or ``outside/`` (a full path).

    ``kind``: database, journal, high-water, configuration, profile, rule, users, acl, certificate, secret.
    """

    name: str
    kind: str
    size_bytes: int
    sha256: str
    mode: int = 0o600


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the archive, and what is not: ``left_out`` names secrets and files for a person.

    ``config_name`` is the file of the configuration within ``config/``, empty where there was none.
    """

    format: int = FORMAT
    fieldgate: str
    gateway: str
    made_at: str
    clock: str
    epoch: int
    events: int
    schemas: dict[str, int]
    config_name: str = ""
    config_folder: str = ""
    state_folder: str = ""
    has_secrets: bool = False
    left_out: list[str] = []
    members: list[Member] = []


class _Digesting(io.RawIOBase):
    """A file that is only written to or read from, and whose bytes are digested on the way."""

    def __init__(self, file: IO[bytes], told: Progress | None = None) -> None:
        self.digest = hashlib.sha256()
        self._file = file
        self._told = told

    def write(self, content: Any) -> int:
        """See `io.RawIOBase`."""
        self.digest.update(content)
        return self._file.write(content)

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase`."""
        content = self._file.read(size)
        self.digest.update(content)
        if self._told is not None:
            self._told(len(content))
        return content

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._file.tell()


def _header(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o600
    return info


def _end(digest: str) -> bytes:
    """The last member and the end of the tar, which follow from the digest."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        text = f"{digest}\n".encode()
        tar.addfile(_header(_DIGEST, len(text)), io.BytesIO(text))
    return content.getvalue()


def _begin(part: Path) -> int:
    """Make the unfinished file anew, and lock it; one that a kill has left is locked by nobody."""
    with suppress(OSError):  # there is none, or it is somebody's who shows it to nobody
        left = os.open(part, _READ)
        try:
            if not _lock(left):
                raise ArchiveError(f"{part}: another backup to the same file is being made; wait for it")
        finally:
            os.close(left)
    part.unlink(missing_ok=True)
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    _lock(fd)
    return fd


def _may_be_archive(path: Path) -> bool:
    """Whether a file is a tar, or empty. Anything else may be the journal, or the configuration."""
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    return not head or head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


class ArchiveWriter:
    """Writes ``path``, which has its name only once it is complete and on the disk; mode 0600.

    Raises:
        ArchiveError: it cannot be written, or exists and ``may_replace`` is not set.
    """

    def __init__(self, path: Path, *, may_replace: bool = False) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._members: list[Member] = []
        with _telling(path):
            if path.exists() and not path.is_file():
                raise ArchiveError(f"{path} is no plain file; name one that is to be made")
            if path.exists() and not may_replace:
                raise ArchiveError(f"{path} exists; --force replaces it")
            if path.exists() and not _may_be_archive(path):
                raise ArchiveError(f"{path} is no backup, and is not replaced; name another file")
            self._file = os.fdopen(_begin(self._part), "w+b")
        self._out = _Digesting(self._file)
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - see __exit__

    def __enter__(self) -> Self:
        """See the class."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Let go; what is not complete is deleted."""
        if self._is_ours():
            self._part.unlink(missing_ok=True)
        self._file.close()

    def _is_ours(self) -> bool:
        """Whether what has the name of the unfinished file is still what this one writes."""
        try:
            return os.path.samestat(self._part.lstat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def add_file(self, name: str, path: Path, *, kind: str, mode: int = 0o600, told: Progress | None = None) -> None:
        """Add a file, which nobody changes meanwhile. It is no link: its folder may be another user's than ours."""
        with _telling(self._path), os.fdopen(os.open(path, _READ), "rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            source = _Digesting(file, told)
            self._tar.addfile(_header(name, size_bytes), source)
            self._members.append(Member(name, kind, size_bytes, source.digest.hexdigest(), mode))

    def add_bytes(self, name: str, content: bytes, *, kind: str, mode: int = 0o600) -> None:
        """Add a small file."""
        with _telling(self._path):
            self._tar.addfile(_header(name, len(content)), io.BytesIO(content))
        self._members.append(Member(name, kind, len(content), hashlib.sha256(content).hexdigest(), mode))

    def finish(self, manifest: Manifest) -> Manifest:
        """Everything is there: add the manifest and the digest, and give the file its name."""
        whole = msgspec.structs.replace(manifest, members=self._members)
        text = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
        with _telling(self._path):
            self._tar.addfile(_header(_MANIFEST, len(text)), io.BytesIO(text))
            self._file.write(_end(self._out.digest.hexdigest()))
            self._file.flush()
            os.fsync(self._file.fileno())
            if not self._is_ours():
                raise ArchiveError(f"{self._part} was deleted or replaced while it was written; try again")
            self._part.rename(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        return whole


class ArchiveReader:
    """Reads an archive that was checked bit by bit; ``manifest`` says what is in it.

    Raises:
        ArchiveError: it is none, is damaged, or a newer version made it.
    """

    def __init__(self, path: Path, *, told: Progress | None = None) -> None:
        self.path = path
        with _telling(path):
            if path.exists() and not path.is_file():  # a pipe would be waited for
                raise ArchiveError(f"{path} is no plain file")
            self._file = path.open("rb")
        try:
            with _telling(path):
                self.size_bytes = os.fstat(self._file.fileno()).st_size
                self._members = self._look(told)
            self.manifest = self._read_manifest()
        except BaseException:  # Ctrl-C too: nobody else can close it
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """See the class."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Let go."""
        self._file.close()

    def _look(self, told: Progress | None) -> dict[str, tarfile.TarInfo]:
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                members = tar.getmembers()
        except (tarfile.TarError, UnicodeError, ValueError, OverflowError) as error:
            raise ArchiveError(f"{self.path}: this is no backup of Fieldgate: {error}") from error
        if not members or members[-1].name != _DIGEST:
            raise ArchiveError(f"{self.path}: this is no backup of Fieldgate, or its end is missing")
        end = members[-1].offset
        digest = hashlib.sha256()
        self._file.seek(0)
        left = end
        while left:
            chunk = self._file.read(min(_CHUNK_BYTES, left))
            if not chunk:
                break
            digest.update(chunk)
            left -= len(chunk)
            if told is not None:
                told(len(chunk))
        if self._file.read(_CHUNK_BYTES) != _end(digest.hexdigest()):
            raise ArchiveError(f"{self.path}: damaged: it is not what was written; nothing was changed")
        return {one.name: one for one in members[:-1]}

    def _read_manifest(self) -> Manifest:
        info = self._members.pop(_MANIFEST, None)
        if info is None or not info.isreg() or info.size > _MAX_MANIFEST_BYTES:
            raise ArchiveError(f"{self.path}: this is no backup of Fieldgate: it has no manifest")
        text = self._bytes(info)
        try:
            made_by = msgspec.json.decode(text, type=_MadeBy)
            if made_by.format > FORMAT:
                raise ArchiveError(
                    f"{self.path}: made by Fieldgate {made_by.fieldgate} in format {made_by.format}; this one knows "
                    f"format {FORMAT}: upgrade Fieldgate to at least that version, then restore"
                )
            manifest = msgspec.json.decode(text, type=Manifest)
        except msgspec.MsgspecError as error:
            raise ArchiveError(f"{self.path}: its manifest cannot be understood: {error}") from error
        self._check_names(manifest)
        return manifest

    def _check_names(self, manifest: Manifest) -> None:
        named = {one.name for one in manifest.members}
        if named != set(self._members) or len(named) != len(manifest.members):
            raise ArchiveError(f"{self.path}: what it holds is not what its manifest says")
        for one in manifest.members:
            info = self._members[one.name]
            is_plain = _NAME.fullmatch(one.name) and not {".", ".."} & set(one.name.split("/"))
            if not is_plain or not info.isreg() or info.issparse() or info.size != one.size_bytes:
                raise ArchiveError(f"{self.path}: {one.name!r} is no file that a backup holds")

    def _bytes(self, info: tarfile.TarInfo) -> bytes:
        self._file.seek(info.offset_data)
        return self._file.read(info.size)

    def extract(self, member: Member, target: Path, *, told: Progress | None = None) -> None:
        """Write a file of the archive to ``target``, which must not exist, and onto the disk; checks its digest."""
        digest = hashlib.sha256()
        with _telling(target):
            self._file.seek(self._members[member.name].offset_data)
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                left = member.size_bytes
                while left and (chunk := self._file.read(min(_CHUNK_BYTES, left))):
                    digest.update(chunk)
                    file.write(chunk)
                    left -= len(chunk)
                    if told is not None:
                        told(len(chunk))
                file.flush()
                os.fsync(file.fileno())
        if digest.hexdigest() != member.sha256:
            raise ArchiveError(f"{self.path}: {member.name}: damaged: its SHA-256 is not that of the manifest")


class _MadeBy(msgspec.Struct):
    format: int
    fieldgate: str


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"{path}: {(error.strerror or str(error)).lower()}") from error
