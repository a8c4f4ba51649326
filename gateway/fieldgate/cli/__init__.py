"""The command ``fieldgate``: one file per command, put together in `app`; `main` is what the shell starts."""

from fieldgate.cli.entry import main

__all__ = ["main"]
