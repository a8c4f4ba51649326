#!/usr/bin/env bash
# Collect what Fieldgate is installed from: its own wheel and those of all that it needs, each held to its hash.
#
# Nothing is taken that the two locks beside this file do not name: requirements.txt for what runs, build-requirements.txt
# for what builds. The folder's own requirements.txt is the first of them with the hash of what was built here added.
set -euo pipefail
umask 022

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly SOURCE=${HERE%/deploy}
readonly GLIBC=36     # of Debian 12
readonly BUILT=tailer # published as source only: Python without a compiler, so its wheel serves every machine
PYTHON=${PYTHON:-python3}

usage() {
  cat <<'END'
Usage: deploy/wheels.sh [--for MACHINE] [--python VERSION] DIR

  --for MACHINE     x86_64 or aarch64: the processor of the machine that they are for; else this one's
  --python VERSION  3.11 for Debian 12, 3.13 for Debian 13: that machine's Python; else this one's

It needs the network. 'install.sh --offline DIR' then needs none. PYTHON=/path/to/python3 chooses another Python than python3.
END
}

fail() {
  printf 'wheels.sh: %s\n' "$*" >&2
  exit 1
}

read_arguments() {
  machine='' version='' folder=''
  while [ $# -gt 0 ]; do
    case $1 in
      --for | --python)
        [ $# -ge 2 ] || fail "$1 needs a value"
        [ "$1" = --for ] && machine=$2 || version=$2
        shift
        ;;
      -h | --help)
        usage
        exit
        ;;
      -*)
        usage >&2
        exit 2
        ;;
      *)
        [ -z "$folder" ] || fail "one folder, not $folder and $1"
        folder=$1
        ;;
    esac
    shift
  done
  if [ -z "$folder" ]; then
    usage >&2
    exit 2
  fi
  is_elsewhere=$machine$version
  machine=${machine:-$(uname -m)}
  case $machine in
    x86_64 | aarch64) ;;
    *) fail "there are wheels for x86_64 and aarch64, and not all for $machine" ;;
  esac
  version=${version:-$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
  case $version in
    3.[0-9] | 3.[0-9][0-9]) ;;
    *) fail "--python takes a version as 3.11, not $version" ;;
  esac
}

# What pip is told of the machine that they are for; nothing where it is this one.
of_target() {
  local minor one
  [ -n "$is_elsewhere" ] || return 0
  printf -- '--python-version\n%s\n--implementation\ncp\n' "$version"
  for one in "cp${version/./}" abi3 none; do printf -- '--abi\n%s\n' "$one"; done
  for ((minor = GLIBC; minor >= 5; minor--)); do printf -- '--platform\nmanylinux_2_%s_%s\n' "$minor" "$machine"; done
  printf -- '--platform\nmanylinux2014_%s\n--platform\nlinux_%s\n' "$machine" "$machine"
}

pip() { "$tools/bin/python" -m pip "$@"; }

# The lock, in which the wheel that was made here counts as well as what it was made from.
write_lock() {
  local digest
  digest=$(sha256sum "$folder/$BUILT"-*.whl | cut -d' ' -f1)
  awk -v name="^$BUILT==" -v digest="$digest" \
    '{ print } $0 ~ name { print "    --hash=sha256:" digest " \\" }' "$HERE/requirements.txt" >"$folder/requirements.txt"
}

read_arguments "$@"
quietly=(--quiet --no-input --disable-pip-version-check)
mkdir -p "$folder"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$PYTHON" -m venv "$tools" || fail "making a virtual environment failed, see above"
pip install "${quietly[@]}" --require-hashes --only-binary :all: -r "$HERE/build-requirements.txt"
mapfile -t target < <(of_target)
pip download "${quietly[@]}" --require-hashes --no-deps --only-binary :all: --no-binary "$BUILT" --no-build-isolation \
  "${target[@]}" --dest "$folder" -r "$HERE/requirements.txt"
pip wheel "${quietly[@]}" --no-index --no-deps --no-build-isolation --wheel-dir "$folder" "$folder/$BUILT"-*.tar.gz "$SOURCE"
rm "$folder/$BUILT"-*.tar.gz
write_lock
echo "$(find "$folder" -name '*.whl' | wc -l) wheels for Python $version on $machine are in $folder"
