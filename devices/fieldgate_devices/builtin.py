"""The profiles that come with Fieldgate, as files of this package."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["builtin_profiles"]


def builtin_profiles() -> dict[str, bytes]:
    """Return their contents by the name that messages show (``<built-in>/ruuvi.yaml``)."""
    folder = files("fieldgate_devices") / "profiles"
    return {f"<built-in>/{one.name}": one.read_bytes() for one in folder.iterdir() if one.name.endswith(".yaml")}
