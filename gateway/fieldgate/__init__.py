"""Fieldgate: an IoT edge gateway that acknowledges an event only once it is safe."""

import sys

# structlog loads rich where that is installed, for tracebacks that are plain here: 4 MB in a process that runs for
# months. Who wants rich itself (the demo) gets it all the same.
if "rich" not in sys.modules and "structlog" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # how Python marks what cannot be imported
    try:
        import structlog  # noqa: F401  # for its effect
    finally:
        del sys.modules["rich"]
