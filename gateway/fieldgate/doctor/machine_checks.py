"""Whether there is enough memory, open files and processor time for what the configuration lets in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fieldgate.doctor.finding import Finding
from fieldgate.doctor.machine_facts import MachineFacts
from fieldgate_devices.files.quantities import about_size

__all__ = ["machine_findings"]

_LEAST_MEMORY: Final = 96 << 20  # idle it has 60 MB, and a start or a drain takes more for a while
_LEAST_AVAILABLE: Final = 48 << 20
_OWN_FILES: Final = 64  # journal, log, control socket, profiles, uplinks
_LEAST_CPUS: Final = 0.2
_NEARLY: Final = 0.9


def machine_findings(facts: MachineFacts, *, clients: int, whose: str) -> Iterator[Finding]:
    """Judge the bounds of a process. ``clients``: most connections of devices; ``whose``: of what process they are."""
    yield _memory(facts, whose)
    if facts.oom_kills:
        yield Finding(
            "machine.out_of_memory",
            f"the kernel has killed something {facts.oom_kills} times in the control group of {whose}: no memory",
            "raise MemoryMax of the service, or lower max_clients and max_unsettled of the listeners",
            figures={"kills": facts.oom_kills},
        )
    yield from _files(facts, clients, whose)
    if facts.cpus is not None and facts.cpus < _LEAST_CPUS:
        yield Finding(
            "machine.little_cpu",
            f"{whose} may use {facts.cpus:.0%} of one processor",
            "raise CPUQuota of the service to 25% or more",
            figures={"cpus": facts.cpus},
        )


def _memory(facts: MachineFacts, whose: str) -> Finding:
    figures = {
        "total_bytes": facts.memory_total_bytes,
        "available_bytes": facts.memory_available_bytes,
        "limit_bytes": facts.memory_limit_bytes,
        "used_bytes": facts.memory_used_bytes,
    }
    limit, used, available = facts.memory_limit_bytes, facts.memory_used_bytes, facts.memory_available_bytes
    if limit is not None and limit < _LEAST_MEMORY:
        return Finding(
            "machine.memory_limit_low",
            f"{whose} may have {about_size(limit)} of memory; {about_size(_LEAST_MEMORY)} is the least that holds",
            "raise MemoryMax of the service (or the container's memory limit); 128M is enough",
            figures=figures,
        )
    if limit is not None and used is not None and used > limit * _NEARLY:
        return Finding(
            "machine.memory_nearly_used",
            f"{whose} has {about_size(used)} of the {about_size(limit)} of memory that it may have",
            "raise MemoryMax of the service, or lower max_clients and max_unsettled of the listeners",
            figures=figures,
        )
    if available is not None and available < _LEAST_AVAILABLE:
        return Finding(
            "machine.memory_short",
            f"{about_size(available)} of memory are available on this machine",
            "stop what is not needed here: 'ps aux --sort=-rss | head' shows what takes it",
            figures=figures,
        )
    parts = [f"{about_size(available)} of memory available"] if available is not None else []
    parts += [f"{whose} may have {about_size(limit)}"] if limit is not None else []
    return Finding("machine.memory", "; ".join(parts) or "the system does not tell its memory", figures=figures)


def _files(facts: MachineFacts, clients: int, whose: str) -> Iterator[Finding]:
    limit, wanted = facts.open_files_limit, clients + _OWN_FILES
    if limit is None:
        return
    figures = {"limit": limit, "open": facts.open_files, "wanted": wanted}
    opened = f", {facts.open_files:,} are" if facts.open_files is not None else ""
    if limit < wanted:
        yield Finding(
            "machine.open_files_low",
            f"{whose} may have {limit:,} files open{opened}; {clients:,} clients and itself need {wanted:,}",
            f"set LimitNOFILE={max(4096, wanted)} in the service, or lower max_clients of the listeners",
            figures=figures,
        )
    else:
        yield Finding(
            "machine.open_files",
            f"{whose} may have {limit:,} files open{opened}, and needs {wanted:,} at most",
            figures=figures,
        )
