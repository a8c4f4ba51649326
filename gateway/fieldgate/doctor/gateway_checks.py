"""Whether the gateway runs, is the one that is installed, says of itself that it is well, and ended well before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fieldgate.doctor.finding import Finding
from fieldgate.doctor.gateway_facts import GatewayFacts

__all__ = ["gateway_findings"]

_UP: Final = frozenset({"connected", "ready"})
_SHOWN: Final = 3


def gateway_findings(facts: GatewayFacts, *, version: str) -> Iterator[Finding]:
    """Judge it; ``version`` is the installed one."""
    if facts.status is None:
        yield _absent(facts)
    else:
        yield from _running(facts.status, version)
    if facts.left_socket is not None:
        yield Finding(
            "gateway.ended_badly",
            f"the last gateway ended without tidying up ({facts.left_socket} is left over): it was killed, or the "
            "power went",
            "nothing is lost by that; if it was not you or a power cut, look for the reason: journalctl -u fieldgate; "
            "dmesg | grep -i oom",
        )
    if facts.restarts:
        yield Finding(
            "gateway.restarted",
            f"systemd has started the service again {facts.restarts} times"
            + (f"; it last ended with '{facts.last_result}'" if facts.last_result not in ("", "success") else ""),
            "journalctl -u fieldgate shows why; 'systemctl reset-failed fieldgate' counts anew",
            figures={"restarts": facts.restarts, "result": facts.last_result or None},
        )
    if facts.crashes:
        newest = facts.crashes[-1]
        yield Finding(
            "gateway.crashed",
            f"{len(facts.crashes)} line(s) in 30 days of log tell of a crash, the newest of {newest.at}: {newest.text}",
            "a 'task.failed' is a defect of Fieldgate: please report it with the bundle of 'fieldgate diag'",
            figures={"crashes": len(facts.crashes), "newest": newest.at},
        )


def _absent(facts: GatewayFacts) -> Finding:
    if facts.is_silent:
        return Finding(
            "gateway.hangs",
            "a gateway is here and does not answer: it hangs, was stopped (SIGSTOP), or waits for its disk",
            "journalctl -u fieldgate -n 50 shows what it did last; 'systemctl restart fieldgate' begins anew, and "
            "nothing that was acknowledged is lost by that",
        )
    if facts.problem:
        return Finding(
            "gateway.not_asked",
            f"the running gateway was not asked: {facts.problem}",
        )
    return Finding("gateway.stopped", "no gateway runs here: what only a running one knows was not looked at")


def _running(status: dict[str, Any], version: str) -> Iterator[Finding]:
    figures = {"version": status["version"], "pid": status["pid"], "uptime_s": status["uptime_s"]}
    if status["version"] != version:
        yield Finding(
            "gateway.other_version",
            f"version {status['version']} runs, and version {version} is installed",
            "restart the gateway: systemctl restart fieldgate",
            figures={**figures, "installed": version},
        )
    else:
        yield Finding("gateway.running", f"version {version} runs as process {status['pid']}", figures=figures)
    yield from _reload(status["reload"])
    for task, problem in status["problems"].items():
        yield Finding("gateway.part_failing", f"{task} cannot go on: {problem}", "see 'fieldgate status'", about=task)
    for one in status["listeners"]:
        if not one["listening"]:
            yield Finding(
                "gateway.not_listening",
                f"no device can come in at {one['name']}: {one['problem'] or 'it does not listen'}",
                "is the port taken by another program? ss -ltnp shows by which",
                about=one["name"],
            )
    for name, one in status["uplinks"].items():
        if one["state"] not in _UP and one["state"] != "connecting":
            reason = one["problem"] or one["reason"]
            yield Finding(
                "gateway.uplink_down",
                f"the uplink {name} is not connected: {reason}; {one['pending']:,} events wait for it",
                f"fieldgate doctor --uplink {name} looks at the way there",
                about=name,
                figures={"state": one["state"], "pending": one["pending"]},
            )
        if one["parked"]:
            yield Finding(
                "gateway.parked",
                f"{one['parked']:,} events are parked that the far side of {name} does not take",
                f"fieldgate parked list --uplink {name}",
                about=name,
                figures={"parked": one["parked"]},
            )
    if full := status["journal"]["full"]:
        yield Finding(
            "gateway.journal_full",
            f"the journal takes nothing more ({full}): devices keep what is not acknowledged",
            "make room, raise journal.max_size, or bring the uplink back",
            figures={"cause": full},
        )


def _reload(reload: dict[str, Any]) -> Iterator[Finding]:
    if problems := reload["problems"]:
        yield Finding(
            "gateway.reload_refused",
            f"the last reload changed nothing: {problems[0]}"
            + (f", and {len(problems) - 1} more" if len(problems) > 1 else ""),
            "mend what 'fieldgate check' says, then: fieldgate reload",
            figures={"problems": list(problems[:_SHOWN])},
        )
    if keys := reload["needs_restart"]:
        yield Finding(
            "gateway.needs_restart",
            f"the configuration has changed in what counts after a restart only: {', '.join(keys[:_SHOWN])}",
            "systemctl restart fieldgate",
            figures={"keys": list(keys)},
        )
