"""Free ports that no other test can take in the meantime, also when tests run in parallel.

They lie below the range from which the kernel gives ports to outgoing connections (32768 on), and each worker of
pytest-xdist has a range of its own. A port is not given twice by one process.
"""

from __future__ import annotations

import itertools
import os
import socket

__all__ = ["free_port"]

_FIRST, _PER_WORKER, _WORKERS = 10_000, 2_500, 9
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_start = _FIRST + _worker * _PER_WORKER
# Two runs on one machine begin at different places.
_offsets = itertools.islice(itertools.cycle(range(_PER_WORKER)), os.getpid() * 61 % _PER_WORKER, None)


def free_port() -> int:
    """Return a port of the loopback on which nobody listens.

    Raises:
        AssertionError: all of this worker's ports are taken.
    """
    for offset in itertools.islice(_offsets, _PER_WORKER):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one in TIME_WAIT is free
            try:
                probe.bind(("127.0.0.1", _start + offset))
            except OSError:
                continue
            return _start + offset
    raise AssertionError(f"no free port from {_start} to {_start + _PER_WORKER}")
