#!/usr/bin/env bash
# Collect the wheels that 'install.sh --offline DIR' installs from: Fieldgate and all that it needs.
#
# Usage: deploy/wheels.sh DIR. Run it on a machine with network, and with the Python and the kind of processor of the
# machine that they are for: wheels belong to both.
set -euo pipefail

if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
  echo "Usage: deploy/wheels.sh DIR     (PYTHON=/path/to/python3 chooses another Python than python3)" >&2
  exit 2
fi
source_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
mkdir -p "$1"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip wheel --quiet --no-input --disable-pip-version-check --wheel-dir "$1" "$source_folder"
echo "$(find "$1" -name '*.whl' | wc -l) wheels for $("$python" --version) on $(uname -m) are in $1"
