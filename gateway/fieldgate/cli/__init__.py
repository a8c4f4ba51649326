"""The command ``fieldgate``: one file per command, put together in `app`; `main` is what the shell starts."""

from fieldgate.cli.app import main

__all__ = ["main"]
