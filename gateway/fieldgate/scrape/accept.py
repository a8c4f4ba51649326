"""Which format a client wants, by its Accept header [RFC 9110 12.5.1]. No I/O, no clock."""

from __future__ import annotations

from fieldgate.observe.metric import Dialect

__all__ = ["dialect_for"]

_OPENMETRICS = "application/openmetrics-text"
_TEXT = "text/plain"


def dialect_for(accept: str) -> Dialect:
    """Return OpenMetrics where it is named and nothing is wanted more; else the text format, which everybody reads.

    A version of either that is not ours (OpenMetrics other than 0.0.1 and 1.0.0) is not what we have.
    """
    wanted = {_OPENMETRICS: 0.0, _TEXT: 0.0}
    for one in accept.lower().split(","):
        kind, *parameters = [part.strip() for part in one.split(";")]
        pairs = (two.partition("=") for two in parameters)
        values = {name.strip(): value.strip(' "') for name, _, value in pairs}
        if kind in wanted and (kind == _TEXT or values.get("version", "1.0.0") in ("0.0.1", "1.0.0")):
            wanted[kind] = max(wanted[kind], _quality(values.get("q", "1")))
    return "openmetrics" if wanted[_OPENMETRICS] > 0.0 and wanted[_OPENMETRICS] >= wanted[_TEXT] else "text"


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
