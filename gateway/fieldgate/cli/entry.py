"""What the shell starts, with its manners: exit codes, broken pipes, full disks, Ctrl-C.

Exit codes: 0 well, 1 a problem was found (also: the reader of our output went away), 2 the command was not
understood, 78 (EX_CONFIG) ``run`` cannot use the configuration, 130 Ctrl-C. None of them comes with a traceback.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

from fieldgate.cli.plain_run import plain_run
from fieldgate.errors import FieldgateError

__all__ = ["main"]

_EX_INTERRUPTED: Final = 130
_EX_BROKEN_PIPE: Final = 1
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def main() -> None:
    """Run the command line and leave the process."""
    _open_standard_streams()
    try:
        try:
            _carry_out(sys.argv[1:])
        except FieldgateError as error:
            sys.stderr.write(f"error: {error}\n")
            sys.exit(1)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(_EX_BROKEN_PIPE)
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        _silence_stdout()
        sys.stderr.write(f"error: the output cannot be written: {os.strerror(error.errno or 0).lower()}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_EX_INTERRUPTED)


def _carry_out(words: list[str]) -> None:
    asked = plain_run(words)
    if asked is None:
        from fieldgate.cli.app import build_app  # with typer, which a gateway does without

        build_app(next(iter(words), None))(prog_name="fieldgate")
    else:
        from fieldgate.cli.serve import serve  # with a gateway, which other commands do without

        sys.exit(serve(asked.config, log_level=asked.log_level))


def _open_standard_streams() -> None:
    """Whoever started us may have closed 0, 1 or 2: a journal opened in their place would get what is printed."""
    for fd, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, so this one
            os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if fd == 0 else "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - kept


def _silence_stdout() -> None:
    """The interpreter flushes once more at its end, which must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
