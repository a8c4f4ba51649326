"""Logging: one line per change of state, an event name and fields; never a payload or a secret.

On a terminal lines are for people, elsewhere they are ``key=value`` with a time. The names in use:

    gateway.started gateway.stopping gateway.stopped gateway.failed gateway.no_uplink clock.became_known
    listener.started listener.stopped client.refused
    uplink.connected uplink.lost uplink.refused uplink.lost_events
    journal.opened journal.set_aside journal.is_full journal.has_room journal.lost_events journal.note
    task.failed control.failed
"""

from __future__ import annotations

import logging
import sys

import structlog

__all__ = ["configure"]


def configure(*, level: str = "info") -> None:
    """Send log lines to standard error."""
    is_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if is_terminal
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
