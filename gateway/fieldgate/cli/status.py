"""``fieldgate status``: what the running gateway is doing."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import typer

from fieldgate.cli.modbus_lines import modbus_lines
from fieldgate.cli.options import AsJson, ConfigFile, journal_folder, without_file, written_config
from fieldgate.cli.serial_lines import serial_lines
from fieldgate.cli.words import STATE, age, count, counts, size, uptime
from fieldgate.control import ask, socket_path
from fieldgate.errors import FieldgateError
from fieldgate_devices.files.quantities import format_size

__all__ = ["register"]

_NOT_RUNNING: Final = 1
_MAX_PROBLEMS: Final = 5
_NOT_LISTENING: Final = 1
_CLOCK: Final = {
    "synced": "clock set",
    "unsynced": "clock not set: events are marked unsynced",
    "estimated": "clock estimated",
}


_SHOWN_PROBLEMS: Final = 5
_SOURCES: Final = {"serial": serial_lines, "modbus": modbus_lines}


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("status")
    def status(config: ConfigFile = None, as_json: AsJson = False) -> None:
        """Ask the running gateway how it is.

        Ends with 1 when none is running, or when one of its listeners does not listen: no device can come in there.
        """
        try:
            answer = asyncio.run(ask(socket_path(journal_folder(config)), {"do": "status"}))
        except FieldgateError as failure:
            error = f"{failure}{without_file(written_config(config))}"
            typer.echo(json.dumps({"error": str(error)}) if as_json else f"error: {error}", err=not as_json)
            raise typer.Exit(_NOT_RUNNING) from failure
        typer.echo(json.dumps(answer) if as_json else _for_people(answer))
        if not all(one["listening"] for one in answer["listeners"]):
            raise typer.Exit(_NOT_LISTENING)


def _for_people(answer: dict[str, Any]) -> str:
    lines = [
        f"gateway  {answer['gateway']}   up {uptime(answer['uptime_s'])}   {_CLOCK[answer['clock']]}   "
        f"version {answer['version']}   process {answer['pid']}",
        f"events   {answer['events_in']:,} accepted since its start   {answer['rate_in']:,.1f}/s   "
        f"{size(answer['unsettled_bytes'])} not safe yet",
    ]
    if nowhere := answer["routed_nowhere"]:
        lines.append(f"events   {nowhere:,} NOWHERE: rules routed them to uplinks of which none takes them")
    for listener in answer["listeners"]:
        lines += _listener(listener)
    for name, source in answer["sources"].items():
        lines += _SOURCES.get(source["kind"], _source)(name, source)
    lines += _profiles(answer["profiles"])
    lines += _dead_letters(answer["dead_letters"])
    lines += _local(answer["local_delivery"])
    lines += _devices(answer["devices"])
    lines += _commands(answer["commands"])
    lines += _rules(answer["rules"])
    for name, uplink in answer["uplinks"].items():
        lines += _uplink(name, uplink)
    if not answer["uplinks"]:
        lines.append("uplink   none is configured: events are kept until there is one")
    lines += _journal(answer["journal"])
    lines += _reload(answer["reload"])
    told = {f"ingest:{one['name']}" for one in answer["listeners"]} | {f"ingest:{name}" for name in answer["sources"]}
    told |= {f"forward:{name}" for name in answer["uplinks"]}
    lines += [f"PROBLEM  {task}: {problem}" for task, problem in answer["problems"].items() if task not in told]
    return "\n".join(lines)


def _reload(reload: dict[str, Any]) -> list[str]:
    lines = [f"PROBLEM  the last reload changed nothing: {problem}" for problem in reload["problems"][:_SHOWN_PROBLEMS]]
    if more := reload["problems"][_SHOWN_PROBLEMS:]:
        lines.append(f"PROBLEM  and {len(more)} more: fieldgate check")
    if keys := reload["needs_restart"]:
        lines.append(f"config   changed, and not in force before a restart: {', '.join(keys)}")
    return lines


def _local(local: dict[str, Any]) -> list[str]:
    lines = []
    if local["sessions"] or local["retained"]:
        lines.append(
            f"local    {count(local['sessions'], 'session')}   {count(local['subscriptions'], 'subscription')}   "
            f"{count(local['retained'], 'retained message')}   {local['delivered']:,} delivered"
        )
    if dropped := counts(local["dropped"]):
        lines.append(f"local    messages that local subscribers did not get: {dropped}")
    if refused := counts(local["refused"]):
        lines.append(f"local    subscriptions and retained messages over a limit: {refused}")
    if ended := counts(local["sessions_ended"]):
        lines.append(f"local    sessions ended while their clients were away: {ended}")
    if problem := local["stored"]["problem"]:
        lines.append(f"PROBLEM  local sessions are not stored, and would be lost in a crash: {problem}")
    return lines


def _commands(commands: dict[str, Any]) -> list[str]:
    lines = []
    if commands["answered"] or commands["open"]:
        answered = ", ".join(f"{number:,} {status}" for status, number in sorted(commands["answered"].items()))
        under_way = f"{commands['open']:,} under way" if commands["open"] else ""
        lines.append(f"commands {'   '.join(filter(None, (answered, under_way)))}")
    if commands["problem"]:
        lines.append(f"PROBLEM  commands cannot be recorded and are refused: {commands['problem']}")
    return lines


def _profiles(profiles: dict[str, Any]) -> list[str]:
    lines = []
    if profiles["own"] or profiles["problems"]:
        built_in = profiles["count"] - len(profiles["own"])
        lines.append(f"profiles {len(profiles['own']):,} of yours   {built_in} built in")
    return lines + _folder_problems(profiles, "fieldgate devices check")


def _rules(rules: dict[str, Any]) -> list[str]:
    lines = []
    if rules["count"]:
        off = rules["count"] - rules["enabled"]
        lines.append(
            f"rules    {rules['enabled']:,} in force   fired {count(rules['fired'], 'time')}"
            + (f"   {rules['shadow']:,} in shadow mode" if rules["shadow"] else "")
            + (f"   {off:,} disabled" if off else "")
            + (f"   {count(rules['alerts'], 'ALERT')}" if rules["alerts"] else "")
            + (f"   {count(rules['errors'], 'error')}" if rules["errors"] else "")
            + "   (see: fieldgate rules status)"
        )
    not_done = {kind: number for kind, number in rules["done"].items() if kind.endswith("_refused")}
    if not_done:
        lines.append(f"         not done: {counts(not_done)}")
    if problem := rules["stored"]["problem"]:
        lines.append(f"PROBLEM  timers and windows of rules are not stored: {problem}")
    return lines + _folder_problems(rules, "fieldgate rules check")


def _folder_problems(of: dict[str, Any], command: str) -> list[str]:
    problems = of["problems"]
    if not problems:
        return []
    lines = [f"PROBLEM  {of['folder']} has changed and is not in use as it is: {problems[0]}"]
    lines += [f"         {problem}" for problem in problems[1:_MAX_PROBLEMS]]
    if len(problems) > _MAX_PROBLEMS:
        lines.append(f"         and {len(problems) - _MAX_PROBLEMS:,} more: '{command}'")
    return lines


def _dead_letters(letters: dict[str, Any]) -> list[str]:
    lines = []
    not_kept = {key: letters[key] for key in ("sampled_out", "evicted") if letters[key]}
    if letters["kept"] or letters["waiting"] or not_kept:
        lines.append(
            f"dead     {count(letters['kept'], 'message')} kept that made no event   "
            f"{size(letters['bytes'])} of {size(letters['max_bytes'])}"
            + (f"   {letters['waiting']:,} not safe yet" if letters["waiting"] else "")
            + (f"   {counts(not_kept)}" if not_kept else "")
        )
        for one in letters["by"]:
            numbers = {key: one[key] for key in ("kept", "sampled_out", "evicted") if one[key]}
            lines.append(f"         {one['profile'] or 'no profile'}: {one['reason']}: {counts(numbers)}")
        lines.append("         (see: fieldgate dead-letters list)")
    if rejected := counts(letters["rejected"]):
        lines.append(f"dead     messages thrown away as configured: {rejected}")
    if problem := letters["problem"]:
        lines.append(f"PROBLEM  dead letters are not stored, and their devices not told anything: {problem}")
    return lines


def _devices(devices: dict[str, Any]) -> list[str]:
    lines = []
    if devices["known"]:
        lines.append(
            f"devices  {devices['known']:,} known"
            + (f"   {devices['silent']:,} silent" if devices["silent"] else "")
            + (f"   {devices['forgotten']:,} forgotten for lack of room" if devices["forgotten"] else "")
            + "   (see: fieldgate devices status)"
        )
    if problem := devices["problem"]:
        lines.append(f"PROBLEM  what is known of devices is not stored: {problem}")
    return lines


def _listener(one: dict[str, Any]) -> list[str]:
    is_http = one["protocol"] == "http"
    state = count(one["clients"], "client") if one["listening"] else "NOT LISTENING"
    how = "" if one["transport"] == "tcp" else f"   {one['transport']}"
    what = count(one["requests"], "request") if is_http else count(one["publishes"], "message")
    lines = [
        f"listen   {one['name']}{how}   {state}   {what}   {count(one['events'], 'event')}"
        + (f"   {one['unacknowledged']:,} not acknowledged yet" if one["unacknowledged"] else "")
    ]
    if one["problem"]:
        lines.append(f"         {one['problem']}; tried again and again")
    if one["echoes"]:
        lines.append(
            f"         LOOP: {one['echoes']:,} messages that this gateway itself had sent upstream came back; no events"
        )
    if one["connecting"] > one["clients"] + 10:
        lines.append(f"         {count(one['connecting'], 'connection')} not let in yet")
    if one["certificate"] and one["certificate"]["warning"]:
        lines.append(f"         CERTIFICATE: {one['certificate']['warning']}")
    lines += [f"         LETS NOBODY NEW IN: {problem}" for problem in one["access_problems"]]
    if refused := counts(one["refused"]):
        lines.append(f"         turned away: {refused}")
    lines += _requests_refused(one) if is_http else _publishes_refused(one)
    if ended := counts(one["ended"]):
        lines.append(f"         connections ended: {ended}")
    return lines


def _publishes_refused(one: dict[str, Any]) -> list[str]:
    lines = []
    if refused := counts(one["publishes_refused"]):
        lines.append(f"         publishes refused: {refused}")
    if denied := one["subscriptions_denied"]:
        lines.append(f"         subscriptions not permitted: {denied:,}")
    return lines


def _requests_refused(one: dict[str, Any]) -> list[str]:
    refused = counts(one["requests_refused"])
    return [f"         requests refused: {refused}"] if refused else []


def _login(one: dict[str, Any]) -> list[str]:
    """What a person must do about how we log in there."""
    lines = [f"         LOGIN: {one['login']}"] if one["login"] else []
    if one["certificate"] and one["certificate"]["warning"]:
        lines.append(f"         CERTIFICATE: {one['certificate']['warning']}")
    return lines


def _source(name: str, one: dict[str, Any]) -> list[str]:
    version = f" by MQTT {one['version']}" if one["version"] else ""
    lines = [f"source   {name}   {STATE[one['state']]}{version}   for {age(one['for_s'])}   from {one['from']}"]
    if reason := one["problem"] or one["reason"]:
        lines.append(f"         {reason}")
    lines += _login(one)
    is_partly = one["subscribed"] < one["subscriptions"]
    lines.append(
        f"         {one['received']:,} received   {count(one['events'], 'event')}"
        + (f"   {one['unacknowledged']:,} not acknowledged yet" if one["unacknowledged"] else "")
        + (f"   {one['subscribed']} of {one['subscriptions']} filters subscribed" if is_partly else "")
        + ("   not read for now: too much is not safe yet" if one["is_paused"] else "")
    )
    dropped = {key: one[key] for key in ("looped", "not_events", "skipped_retained", "joined") if one[key]}
    if dropped:
        lines.append(f"         no events: {counts(dropped)}")
    if one["kept_s"] is not None:
        lines.append(f"         the broker keeps what comes while the gateway is away for {age(one['kept_s'])} only")
    for topic_filter, why in one["refused"].items():
        lines.append(f"         REFUSED: {topic_filter}: {why}; tried again")
    for topic_filter, qos in one["lowered"].items():
        lines.append(f"         {topic_filter}: the broker grants QoS {qos} only, messages can be lost on the way")
    return lines


def _uplink(name: str, one: dict[str, Any]) -> list[str]:
    version = f" by MQTT {one['version']}" if one["version"] else ""
    optional = "" if one["required"] else "   not required"
    lines = [f"uplink   {name}   {STATE[one['state']]}{version}   for {age(one['for_s'])}   to {one['to']}{optional}"]
    quiet = one["quiet"] if one["pending"] or one["in_flight"] else ""  # else the next line says it
    if reason := one["problem"] or one["reason"] or quiet:
        lines.append(f"         {reason}")
    backlog = f"{one['pending']:,} pending" if one["is_counted"] else f"{one['pending']:,} pending and more not counted"
    if one["oldest_s"] is not None:
        backlog += f", the oldest for {age(one['oldest_s'])}"
    lines.append(f"         {backlog}   {one['in_flight']:,} in flight   {one['delivered']:,} delivered in all")
    lines += _login(one)
    if one["ledger"]:
        lost = {reason: number for reason, number in one["ledger"].items() if reason != "parked"}
        if lost:
            lines.append(f"         LOST: {counts(lost)}")
    if one["parked"]:
        again = f", {one['parked_retrying']:,} sent again" if one["parked_retrying"] else ""
        lines.append(
            f"         parked: {count(one['parked'], 'event')} that the far side does not take{again} "
            "(see: fieldgate parked list)"
        )
    if one["commands"] is not None:
        lines += _uplink_commands(one["commands"])
    if one["replaying"]:
        lines.append(f"         replay: {one['replayed']:,} sent again, {one['replaying']:,} to go")
    if one["unaccounted"]:
        lines.append(f"         UNACCOUNTED: {one['unaccounted']:,} events; please report this as a defect")
    return lines


def _uplink_commands(one: dict[str, Any]) -> list[str]:
    """What came over an uplink for devices."""
    lines = []
    if problem := one["problem"]:
        lines.append(f"         NO COMMANDS: {problem}")
    told = {key: one[key] for key in ("refused", "joined", "waiting") if one[key]}
    if one["subscribed"] or one["received"]:
        lines.append(
            f"         {count(one['received'], 'command')} received"
            + (f" ({counts(told)})" if told else "")
            + f"   {count(one['answered'], 'answer')} sent"
            + (f"   {one['answers_waiting']:,} to be sent" if one["answers_waiting"] else "")
        )
    if one["answers_dropped"]:
        why = f": {one['answer_refused']}" if one["answer_refused"] else ""
        lines.append(f"         answers given up: {one['answers_dropped']:,}{why}")
    return lines


def _journal(one: dict[str, Any]) -> list[str]:
    aside = f"   {size(one['set_aside_bytes'])} in files set aside" if one["set_aside_bytes"] else ""
    used = f"{size(one['bytes'])} of {format_size(one['max_bytes'])}"
    lines = [
        f"journal  {one['path']}   {count(one['events'], 'event')}   {used}   {one['durability']}   "
        f"epoch {one['epoch']}{aside}"
    ]
    if one["full"]:
        what = {"limit": "its limit is reached", "disk": "the disk is full", "read_only": "the disk takes no writes"}
        lines.append(
            f"         FULL: {what[one['full']]}; nothing new is stored, devices keep what is not acknowledged"
        )
    return lines
