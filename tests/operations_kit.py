"""What something costs in Python's own operations: the same on every machine, however busy."""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any

__all__ = ["operations"]


def operations(run: Any, *arguments: Any) -> int:
    """How many of Python's own operations a call takes; what is written in C counts as one."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()  # what others left to be finalized would be counted here
    sys.settrace(trace)
    try:
        run(*arguments)
    finally:
        sys.settrace(before)
        gc.enable()
    return count
