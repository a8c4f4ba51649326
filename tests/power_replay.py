"""What a disk may hold after a power cut, from a recording of what a process wrote and synced (recipe B of FAULTS.md).

A `strace` log becomes a list of operations. After any of them the disk holds everything that was synced, and of the
rest anything: nothing, all, the first part, some writes, some 512-byte sectors. Names are as strict as POSIX: a file
that was made, renamed or deleted is so for certain only once its folder was synced. Names change in the order in which
they were changed, as on ext4, xfs and btrfs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = [
    "TRACED",
    "Contents",
    "Disk",
    "Move",
    "Name",
    "Operation",
    "Promise",
    "Resize",
    "Sync",
    "SyncNames",
    "Unname",
    "Write",
    "crash_states",
    "put_on_disk",
    "read_recording",
]

TRACED: Final = (
    "openat,mkdir,pwrite64,pwritev,write,writev,fdatasync,fsync,sync,sync_file_range,ftruncate,truncate,fallocate,"
    "unlink,unlinkat,rename,renameat,renameat2,link,linkat,copy_file_range,sendfile"
)
"""The calls to record; those that `read_recording` cannot replay make it fail, so that nothing is overlooked."""

SECTOR_BYTES: Final = 512

Contents = dict[str, bytes | None]
"""Files by name relative to the recorded folder; the folder itself is "" and None, and absent if it was not made."""


@dataclass(frozen=True, slots=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    file: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sync:
    file: int


@dataclass(frozen=True, slots=True)
class Name:
    """A name came to be; the folder itself is file 0 under the name ""."""

    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Unname:
    name: str


@dataclass(frozen=True, slots=True)
class Move:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class SyncNames:
    """The folder was synced; with ``of_parent`` the folder that the recorded one lies in."""

    of_parent: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """A line that the process wrote to its standard output."""

    text: str


Data = Write | Resize
Naming = Name | Unname | Move
Operation = Data | Naming | Sync | SyncNames | Promise

_CALL: Final = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_FD: Final = re.compile(r"(\d+|AT_FDCWD)<((?:\\x[0-9a-f]{2})*)>")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


class _Recording:
    """Turns the lines of a log into operations on the files of one folder."""

    def __init__(self, folder: Path, before: Iterable[str]) -> None:
        self._folder = str(folder)
        self._files: dict[str, int] = {name: number for number, name in enumerate(sorted(before), start=1)}
        self._next_file = len(self._files) + 1

    def file_of(self, name: str) -> int:
        return self._files[name]

    def feed(self, call: str, arguments: str, answer: int) -> Iterator[Operation]:
        strings = [_bytes(text) for text in _STRING.findall(arguments)]
        fd = _FD.match(arguments)
        if call == "write" and fd and fd[1] == "1":
            yield from (Promise(line) for line in strings[0].decode().splitlines())
            return
        paths = [text.decode() for text in strings] if call in _BY_PATH else []
        name = self._name(paths[0] if paths else _bytes(fd[2]).decode() if fd else "")
        if name is None:
            return
        match call:
            case "openat":
                yield from self._opened(name, arguments)
            case "mkdir":
                yield Name("", 0)
            case "pwrite64" | "write":
                numbers = [int(text) for text in re.findall(r", (\d+)", arguments.rsplit('"', 1)[1])]
                if call == "write" or name not in self._files:
                    raise AssertionError(f"a write that cannot be replayed: {call} to {name!r}")
                yield Write(self._files[name], numbers[1], strings[0][:answer])
            case "fdatasync" | "fsync":
                if name in ("", ".."):
                    yield SyncNames(of_parent=name == "..")
                else:
                    yield Sync(self._files[name])
            case "ftruncate":
                yield Resize(self._files[name], int(arguments.rsplit(", ", 1)[1]))
            case "fallocate":
                _, mode, offset, length = arguments.split(", ")
                if mode != "0":
                    raise AssertionError(f"fallocate with mode {mode} cannot be replayed")
                yield Resize(self._files[name], int(offset) + int(length))
            case "unlink" | "unlinkat":
                yield Unname(name)
                self._files.pop(name)
            case "rename" | "renameat" | "renameat2":
                new = self._name(paths[1])
                assert new is not None
                yield Move(name, new)
                self._files[new] = self._files.pop(name)
            case _:
                raise AssertionError(f"{call} cannot be replayed: {arguments[:200]}")

    def _opened(self, name: str, arguments: str) -> Iterator[Operation]:
        if "O_DIRECTORY" in arguments or name in ("", ".."):
            return
        if name not in self._files:
            self._files[name] = self._next_file
            self._next_file += 1
            yield Name(name, self._files[name])
        elif "O_TRUNC" in arguments:
            yield Resize(self._files[name], 0)

    def _name(self, path: str) -> str | None:
        """The name in the folder: "" for itself, ".." for what it lies in; None for any other, deleted or shm."""
        if path == self._folder:
            return ""
        if path == str(Path(self._folder).parent):
            return ".."
        name = path.removeprefix(self._folder + "/")
        return None if name == path or name.endswith(("-shm", "(deleted)")) else name


_BY_PATH: Final = {
    "openat", "mkdir", "truncate", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
}  # fmt: skip


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def read_recording(log: Path, folder: Path, *, before: Contents | None = None) -> tuple[Disk, list[Operation]]:
    """Return the disk as it was ``before`` and what was done to it, from a log of `strace -f -y -xx -s 1000000`."""
    before = before or {}
    recording = _Recording(folder, (name for name in before if name))
    disk = Disk()
    if "" in before:
        disk.names[""] = 0
    for name, content in before.items():
        if content is not None:
            disk.names[name] = recording.file_of(name)
            disk.files[disk.names[name]] = bytearray(content)
    operations: list[Operation] = []
    with log.open(encoding="ascii") as lines:
        for line in lines:
            call = _CALL.match(line)
            if "<unfinished" in line or "resumed>" in line:
                raise AssertionError("the recorded process must have one thread only")
            if call is not None and int(call[3]) >= 0:
                operations += recording.feed(call[1], call[2], int(call[3]))
    return disk, operations


class Disk:
    """What is safe for certain, and what was done since and is not."""

    def __init__(self) -> None:
        self.files: dict[int, bytearray] = {}
        self.names: dict[str, int] = {}
        self._data: list[Data] = []
        self._naming: list[Naming] = []

    @property
    def is_synced(self) -> bool:
        return not self._data and not self._naming

    def do(self, operation: Operation) -> None:
        match operation:
            case Write() | Resize():
                self._data.append(operation)
            case Name() | Unname() | Move():
                self._naming.append(operation)
            case Sync(file):
                for change in self._data:
                    if change.file == file:
                        _change(self.files, change)
                self._data = [change for change in self._data if change.file != file]
            case SyncNames(of_parent):
                self._sync_names(of_parent)
            case Promise():
                pass

    def _sync_names(self, of_parent: bool) -> None:
        left: list[Naming] = []
        for change in self._naming:
            if (isinstance(change, Name) and change.name == "") == of_parent:
                _rename(self.names, change)
            else:
                left.append(change)
        self._naming = left

    def after_cut(self, how: str, rng: random.Random) -> Contents:
        """One state that the disk may be found in: ``how`` is none, all, prefix, some or sectors."""
        names, files = dict(self.names), {file: bytearray(content) for file, content in self.files.items()}
        named = {"none": 0, "all": len(self._naming)}.get(how, rng.randint(0, len(self._naming)))
        for naming in self._naming[:named]:
            _rename(names, naming)
        written = {"none": 0, "prefix": rng.randint(0, len(self._data))}.get(how, len(self._data))
        share = rng.choice((0.1, 0.5, 0.9))
        for data in self._data[:written]:
            if how == "sectors" and isinstance(data, Write):
                for sector in _sectors(data):
                    if rng.random() < share:
                        _change(files, sector)
            elif how in ("all", "prefix") or rng.random() < share:
                _change(files, data)
        if "" not in names:
            return {}
        return {name: bytes(files.get(file, b"")) if name else None for name, file in names.items()}


def _sectors(write: Write) -> Iterator[Write]:
    at = 0
    while at < len(write.data):
        end = min(len(write.data), at + SECTOR_BYTES - (write.offset + at) % SECTOR_BYTES)
        yield Write(write.file, write.offset + at, write.data[at:end])
        at = end


def _change(files: dict[int, bytearray], change: Data) -> None:
    content = files.setdefault(change.file, bytearray())
    if isinstance(change, Resize):
        del content[change.size_bytes :]
        content.extend(bytes(change.size_bytes - len(content)))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data


def _rename(names: dict[str, int], change: Naming) -> None:
    match change:
        case Name(name, file):
            names[name] = file
        case Unname(name):
            names.pop(name, None)
        case Move(old, new):
            if old in names:
                names[new] = names.pop(old)


HOWS: Final = ("none", "all", "prefix", "some", "sectors")


def crash_states(
    disk: Disk, operations: Sequence[Operation], *, states: int, seed: int
) -> Iterator[tuple[str, list[str], Contents]]:
    """Cut the power after operations spread over the recording; yields where, what was promised by then, what is left.

    ``states`` of them; where nothing is unsynced there is only one, so cuts are made where something is.
    """
    rng = random.Random(seed)
    probe = Disk()
    open_ends = []
    for number, operation in enumerate(operations):
        probe.do(operation)
        if not probe.is_synced:
            open_ends.append(number)
    chosen = sorted(rng.choices(open_ends, k=states))
    promised: list[str] = []
    done = -1
    for count, number in enumerate(chosen):
        while done < number:
            done += 1
            operation = operations[done]
            disk.do(operation)
            if isinstance(operation, Promise):
                promised.append(operation.text)
        how = HOWS[count % len(HOWS)]
        yield f"cut after operation {number} of {len(operations)}, kept: {how}", promised, disk.after_cut(how, rng)


def put_on_disk(contents: Contents, folder: Path) -> None:
    """Write a state that a cut left into ``folder``."""
    for content in contents.values():
        if content is None:
            folder.mkdir()
    for name, content in contents.items():
        if content is not None:
            (folder / name).write_bytes(content)
