"""Every metric there is: its name, type, unit, labels and meaning. ``gateway/METRICS.md`` is made of it.

Labels take values from the configuration (uplinks, listeners, sources) and from closed sets of words, never from what
devices send: no device, topic, client, profile or rule has a series of its own.
"""

from __future__ import annotations

from typing import Final

from fieldgate.observe.metric import Metric, Unit

__all__ = ["METRICS", "metrics_table"]

_ALL: Final[list[Metric]] = []


def _add(metric: Metric) -> Metric:
    _ALL.append(metric)
    return metric


def _count(name: str, meaning: str, *labels: str, unit: Unit = "") -> Metric:
    return _add(Metric(f"fieldgate_{name}_total", "counter", meaning, unit, labels))


def _gauge(name: str, meaning: str, *labels: str, unit: Unit = "") -> Metric:
    return _add(Metric(f"fieldgate_{name}", "gauge", meaning, unit, labels))


def _times(name: str, meaning: str) -> Metric:
    return _add(Metric(f"fieldgate_{name}", "histogram", meaning, "seconds"))


# the gateway itself
BUILD = _add(Metric("fieldgate_build_info", "info", "What runs here; always 1.", labels=("version", "python")))
CLOCK = _gauge("clock_quality", "How far the clock can be trusted: 1 for the quality it has, else 0.", "quality")
FAILING = _gauge("parts_failing", "Parts of the gateway that cannot go on and are tried again.")
LOG_LINES = _count("log_lines", "Lines of the log, by level.", "level")
LOG_LEFT_OUT = _count("log_lines_left_out", "Lines of the log that were thinned out, or dropped for a slow reader.")

# events, from device to safe
EVENTS = _count("events_accepted", "Events that were taken: of devices, of rules and of the gateway itself.")
NOWHERE = _count("events_nowhere", "Events that a rule routed to uplinks of which none takes them.")
UNSETTLED = _gauge("unsettled_bytes", "Memory of events that are not settled yet.", unit="bytes")
SETTLE = _times("settle_seconds", "Time from taking an event until it was safe and could be acknowledged.")
RECEIVED = _count("received", "Messages that came in, by what became of them.", "source", "kind", "result")
BAD_TRACES = _count("traces_ignored", "Events whose traceparent or tracestate is not as W3C has it.", "source", "kind")
SOURCE_UP = _gauge("source_up", "Whether a listener listens, or a source is connected.", "source", "kind")
WAITING = _gauge("source_unacknowledged", "Messages that are not acknowledged yet.", "source", "kind")
SOURCE_RECONNECTS = _count("source_reconnects", "How often a source was connected again.", "source", "kind")

# listeners
PUBLISHES = _count("listener_publishes", "PUBLISH packets, and requests of HTTP, that came in.", "listener")
CLIENTS = _gauge("listener_clients", "Clients that are connected to a listener.", "listener")
CONNECTING = _gauge("listener_connecting", "Connections to a listener whose client is not let in yet.", "listener")
TURNED_AWAY = _count("listener_refused", "Connections that were turned away at a limit.", "listener", "reason")
ENDED = _count("listener_ended", "Connections that are over, by how they ended.", "listener", "reason")
REFUSED = _count("listener_publishes_refused", "Publishes that were not taken, by reason.", "listener", "reason")
DENIED = _count("listener_subscriptions_denied", "Subscriptions that the ACL does not allow.", "listener")
EXPIRY = _gauge(
    "certificate_expiry_timestamp_seconds", "When a certificate of ours expires (UTC).", "kind", "name", unit="seconds"
)

# local delivery
LOCAL_SENT = _count("local_delivered", "Messages that local subscribers were handed.")
LOCAL_DROPPED = _count("local_dropped", "Messages that local subscribers did not get, by reason.", "reason")
SESSIONS = _gauge("local_sessions", "MQTT sessions of local clients: here, or away and kept.", "state")
QUEUED = _gauge("local_queued_bytes", "What waits for local clients that are away.", unit="bytes")
RETAINED = _gauge("local_retained_messages", "Retained messages.")

# uplinks
UPLINK_UP = _gauge("uplink_up", "Whether an uplink takes events now.", "uplink")
UPLINK_STATE = _gauge("uplink_state", "Where an uplink is: 1 for the state it is in, else 0.", "uplink", "state")
DELIVERED = _count("uplink_delivered_events", "Events that the far side has acknowledged.", "uplink")
LOST = _count("uplink_lost_events", "Events that an uplink never gets, by reason.", "uplink", "reason")
BACKLOG = _gauge("uplink_backlog_events", "Events that an uplink has still to deliver.", "uplink")
BACKLOG_AGE = _gauge(
    "uplink_backlog_age_seconds",
    "Age of the oldest event that an uplink has still to deliver.",
    "uplink",
    unit="seconds",
)
PARKED = _gauge("uplink_parked_events", "Events that the far side has refused, kept aside.", "uplink")
UNACCOUNTED = _gauge("uplink_unaccounted_events", "By how much the account of an uplink fails; 0 always.", "uplink")
IN_FLIGHT = _gauge("uplink_in_flight_messages", "Messages on their way, not acknowledged yet.", "uplink")
SENT = _count("uplink_sent_messages", "Messages that were sent for the first time.", "uplink")
SENT_BYTES = _count("uplink_sent_bytes", "Size of those messages.", "uplink", unit="bytes")
RETRIES = _count("uplink_retried_messages", "Messages that were sent again.", "uplink")
RECONNECTS = _count("uplink_reconnects", "How often an uplink was connected again.", "uplink")

# the disk
JOURNAL = _gauge("journal_bytes", "Size of the journal on the disk.", unit="bytes")
JOURNAL_LIMIT = _gauge("journal_limit_bytes", "Size that the journal may have.", unit="bytes")
JOURNAL_EVENTS = _gauge("journal_events", "Events in the journal.")
JOURNAL_FULL = _gauge("journal_full", "Why nothing more can be stored: 1 for the cause that holds, else 0.", "cause")
JOURNAL_ANSWERS = _gauge("journal_responds", "Whether the disk's thread has answered for these metrics in time.")
JOURNAL_SYNC = _times("journal_fsync_seconds", "Time that the disk took to make a commit of the journal durable.")
JOURNAL_WRITTEN = _count("journal_written_events", "Events that were written to the journal.")
JOURNAL_BODY = _count("journal_written_bytes", "Size of the blocks that were written to the journal.", unit="bytes")
COMMITS = _count("store_commits", "Commits, by what was stored.", "store")
STORE_UP = _gauge("store_up", "Whether what is to be stored can be stored at the moment.", "store")
FLASH = _count(
    "flash_written_bytes",
    "What this process has had written to disks, as the kernel counts it.",
    unit="bytes",
)

# what is no event
LETTERS = _gauge("dead_letters", "Dead letters that are kept, by reason.", "reason")
LETTERS_BYTES = _gauge("dead_letters_bytes", "Size of the dead letters that are kept.", unit="bytes")
LETTERS_SEEN = _count("dead_letters_received", "Messages that became no event, by reason.", "reason")
LETTERS_DROPPED = _count("dead_letters_dropped", "Dead letters that are not kept (any more), by cause.", "cause")

# devices, rules, commands
DEVICES = _gauge("devices", "Devices that are known: heard, or silent for longer than their profile says.", "state")
DEVICES_FORGOTTEN = _count("devices_forgotten", "Devices that were forgotten for lack of room.")
PROFILE_PROBLEMS = _gauge("profile_problems", "What is wrong with the folder of profiles; the old ones stay in use.")
RULES = _gauge("rules", "Rules that were read, by their mode.", "mode")
RULE_PROBLEMS = _gauge("rule_problems", "What is wrong with the folder of rules; the old ones stay in force.")
EVALUATIONS = _count("rule_evaluations", "How often a rule was asked about an event.")
FIRINGS = _count("rule_firings", "How often rules have fired.")
SUPPRESSED = _count("rule_suppressed", "Firings that throttle or once_per has held back.")
RULE_ERRORS = _count("rule_errors", "How often a rule has failed.")
EFFECTS = _count("rule_effects", "What rules have had done, or not done, by kind.", "effect")
ALERTS = _gauge("alerts", "Alerts that last.", "severity")
COMMANDS = _count("commands", "Commands to devices that were answered, by answer.", "status")
COMMANDS_OPEN = _gauge("commands_open", "Commands to devices that are not answered yet.")

# tracing
SPANS = _count("spans_exported", "Spans that the collector has taken.")
TRACES_OVER = _count("traces_over_rate", "Messages that are not recorded, because tracing.rate allows no more.")
SPANS_DROPPED = _count("spans_dropped", "Spans that were dropped, by why.", "reason")

# this endpoint
SCRAPES_REFUSED = _count("metrics_refused", "Requests to this endpoint that were refused, by code.", "code")

# the process, by the names that all programs use
CPU = _add(Metric("process_cpu_seconds_total", "counter", "CPU time, user and system.", "seconds"))
RSS = _add(Metric("process_resident_memory_bytes", "gauge", "Resident memory.", "bytes"))
VIRTUAL = _add(Metric("process_virtual_memory_bytes", "gauge", "Virtual memory.", "bytes"))
STARTED = _add(Metric("process_start_time_seconds", "gauge", "When the process was started (UTC).", "seconds"))
OPEN_FDS = _add(Metric("process_open_fds", "gauge", "Open file descriptors."))
MAX_FDS = _add(Metric("process_max_fds", "gauge", "File descriptors that may be open."))

METRICS: Final = tuple(_ALL)


def metrics_table() -> str:
    """All of it as a table in Markdown."""
    rows = [f"| `{one.name}` | {one.kind} | {one.unit or '-'} | {_words(one.labels)} | {one.help} |" for one in METRICS]
    return "\n".join(["| Metric | Type | Unit | Labels | Meaning |", "|---|---|---|---|---|", *rows]) + "\n"


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "-"
