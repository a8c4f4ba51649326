"""A pytest plugin for collecting only: it writes down which test claims which statement of MQTT (marker ``clause``)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write ``{node id without parameters: {clause: whether it is expected to fail}}`` to ``$CLAUSES_TO``.

    Only what runs against our own code counts: not the parameters that run against another server.
    """
    found: dict[str, dict[str, bool]] = {}
    for item in session.items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and callspec.params.get("server", "fieldgate") != "fieldgate":
            continue
        is_lacking = any(mark.name == "xfail" for mark in item.iter_markers())
        claims = found.setdefault(item.nodeid.partition("[")[0], {})
        for mark in item.iter_markers("clause"):
            for clause in " ".join(mark.args).split():
                claims[clause] = claims.get(clause, False) or is_lacking
    Path(os.environ["CLAUSES_TO"]).write_text(json.dumps(found), encoding="utf-8")
