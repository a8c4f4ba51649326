"""What the running gateway answers on its control socket."""

from fieldgate.answers.requests import handlers

__all__ = ["handlers"]
