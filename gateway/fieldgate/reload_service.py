"""Ask the gateway of this unit to reload, for ``ExecReload=``: ``python -m fieldgate.reload_service``.

Ends with 1 and says on stderr why, where the reload was refused or nothing answers; systemd then fails the reload and
has the reason in its log. It is not ``fieldgate reload`` because what it needs counts towards the unit's ``MemoryMax``,
beside the gateway: this needs a third of the memory, and no file that a typing error may have made unreadable.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

__all__ = ["main"]


def main() -> int:
    """Return the exit code; ``$RUNTIME_DIRECTORY`` (systemd sets it) says where the gateway's socket is."""
    path = f"{os.environ.get('RUNTIME_DIRECTORY', '').partition(':')[0]}/control.sock"
    try:
        answer = _ask(path)
    except (OSError, ValueError) as error:
        return _refused(f"no gateway answers on {path}: {error}")
    if "error" in answer:
        return _refused(answer["error"])
    if not answer["reloaded"]:
        return _refused(*answer["problems"], "refused: nothing has changed, what was read before goes on")
    for line in (*answer["warnings"], *(f"{key}: needs a restart" for key in answer["needs_restart"])):
        sys.stderr.write(f"{line}\n")
    return 0


def _refused(*lines: str) -> int:
    sys.stderr.writelines(f"{line}\n" for line in lines)
    return 1


def _ask(path: str) -> dict[str, Any]:
    """The first object of the answer (`control`); ValueError where there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.connect(path)
        asking.sendall(b'{"do":"reload"}\n')
        with asking.makefile("rb") as lines:
            for line in lines:
                if line.strip():
                    answer: dict[str, Any] = json.loads(line)
                    return answer
    raise ValueError("the gateway went away before it had answered")


if __name__ == "__main__":
    sys.exit(main())
