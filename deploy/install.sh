#!/usr/bin/env bash
# Install Fieldgate as a system service, bring it up to date, or remove it.
#
# Debian 12 and 13 and Raspberry Pi OS, 64 bit. It may be run again at any time: what is there already is left alone. A
# file that a person has changed is never overwritten; what we would have put there lies beside it as FILE.new.
# Each version has a folder of its own. The switch to a new one is a link that is replaced, after the new version has
# been installed completely and has found the configuration usable; if it does not start then, the old one is put back.
set -euo pipefail
umask 022

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly SOURCE=${HERE%/deploy}
readonly OPT=/opt/fieldgate ETC=/etc/fieldgate STATE=/var/lib/fieldgate
readonly RELEASES=$OPT/releases CURRENT=$OPT/current NOTED=$OPT/installed.sha256
readonly UNITS=/etc/systemd/system COMMAND=/usr/local/bin/fieldgate
readonly USER_NAME=fieldgate RULES_GROUP=fieldgate-rules
readonly NEEDED_MB=300
PYTHON=${PYTHON:-python3}

usage() {
  cat <<'END'
Usage: sudo deploy/install.sh [--offline DIR]               install and start Fieldgate; put right what is missing
       sudo deploy/install.sh --upgrade [--offline DIR]     install this version in place of the one that runs
       sudo deploy/install.sh --uninstall [--purge]         remove it; with --purge its settings and stored events too

  --offline DIR   take everything from the wheels in DIR (deploy/wheels.sh makes it) and use no network
  --help          print this

Program /opt/fieldgate, settings /etc/fieldgate, stored events /var/lib/fieldgate, service fieldgate.service.
PYTHON=/path/to/python3 chooses another Python than python3; 3.11 or newer is needed.
END
}

say() { printf '%s\n' "$*"; }
note() { printf 'note: %s\n' "$*"; }
fail() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

is_booted() { [ -d /run/systemd/system ]; }

read_arguments() {
  action=install offline='' purge=''
  while [ $# -gt 0 ]; do
    case $1 in
      --upgrade | --uninstall)
        [ "$action" = install ] || fail "--upgrade and --uninstall exclude each other"
        action=${1#--}
        ;;
      --purge) purge=yes ;;
      --offline)
        [ $# -ge 2 ] || fail "--offline needs a folder with wheels"
        offline=$2
        shift
        ;;
      --offline=*) offline=${1#*=} ;;
      -h | --help)
        usage
        exit
        ;;
      *)
        usage >&2
        exit 2
        ;;
    esac
    shift
  done
  [ -z "$purge" ] || [ "$action" = uninstall ] || fail "--purge goes with --uninstall only"
  [ -z "$offline" ] || [ "$action" != uninstall ] || fail "--offline means nothing with --uninstall"
}

# --- whether this machine will do ---------------------------------------------------------------------------------

check_machine() {
  [ "$(id -u)" -eq 0 ] || fail "this has to be run as root: sudo ${BASH_SOURCE[0]} …"
  command -v systemctl >/dev/null || fail "there is no systemd here; 'pip install .' and 'fieldgate run' do without"
  if command -v dpkg-query >/dev/null && dpkg-query -W -f '${Status}' fieldgate 2>/dev/null | grep -q 'ok installed'; then
    fail "the Debian package fieldgate is installed; use apt for it, or first: sudo apt remove fieldgate"
  fi
}

check_system() {
  local ID='' VERSION_ID='' PRETTY_NAME='an unknown system'
  # shellcheck source=/dev/null
  [ ! -r /etc/os-release ] || . /etc/os-release
  case $ID:${VERSION_ID%%.*} in
    debian:12 | debian:13 | raspbian:12 | raspbian:13) ;;
    *) fail "this is $PRETTY_NAME; Debian 12 or 13, or Raspberry Pi OS of the same generation, is needed" ;;
  esac
  local architecture
  architecture=$(dpkg --print-architecture)
  case $architecture in
    amd64 | arm64) ;;
    *) fail "this system is $architecture; a 64-bit one (arm64, amd64) is needed: not all libraries exist for others" ;;
  esac
}

check_python() {
  if ! command -v "$PYTHON" >/dev/null; then
    [ "$PYTHON" = python3 ] || fail "there is no $PYTHON; Python 3.11 or newer is needed"
    install_packages python3 python3-venv
    command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON; Python 3.11 or newer is needed"
  fi
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is $("$PYTHON" --version 2>&1); Python 3.11 or newer is needed (PYTHON=/path/to/python3 chooses one)"
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$PYTHON cannot make a virtual environment; install it: sudo apt-get install python3-venv"
}

install_packages() {
  [ -z "$offline" ] || fail "$* is missing and --offline uses no network; install it first: sudo apt-get install $*"
  say "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >/dev/null || fail "'apt-get update' failed, see above"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null ||
    fail "'apt-get install $*' failed, see above"
}

check_space() {
  local free_mb
  mkdir -p "$OPT" || fail "$OPT cannot be made"
  free_mb=$(($(df -Pk "$OPT" | awk 'NR == 2 {print $4}') / 1024))
  [ "$free_mb" -ge "$NEEDED_MB" ] ||
    fail "$OPT has $free_mb MB of room and $NEEDED_MB MB are needed; nothing was changed"
}

check_offline() {
  [ -n "$offline" ] || return 0
  [ -d "$offline" ] || fail "--offline: there is no folder $offline"
  offline=$(cd "$offline" && pwd)
  compgen -G "$offline/fieldgate-*.whl" >/dev/null ||
    fail "$offline has no fieldgate-….whl; make the folder with deploy/wheels.sh on a machine with network"
  [ -f "$offline/requirements.txt" ] ||
    fail "$offline has no requirements.txt, so it was made for an older version; make it again with deploy/wheels.sh"
}

# --- files: never over what a person has changed ------------------------------------------------------------------

digest_of() { sha256sum "$1" | cut -d' ' -f1; }

noted_digest() { [ ! -f "$NOTED" ] || awk -v path="$1" '$2 == path {print $1}' "$NOTED"; }

note_digest() {
  local fresh
  fresh=$(mktemp "$NOTED.XXXXXX")
  { [ ! -f "$NOTED" ] || awk -v path="$1" '$2 != path' "$NOTED"; } >"$fresh"
  printf '%s %s\n' "$2" "$1" >>"$fresh"
  chmod 644 "$fresh"
  mv "$fresh" "$NOTED"
}

# place CONTENT FILE MODE OWNER:GROUP: FILE has what CONTENT has, unless a person has changed it.
place() {
  local content=$1 file=$2 mode=$3 owner=$4 new old now
  new=$(digest_of "$content") old=$(noted_digest "$file")
  if [ -e "$file" ]; then
    now=$(digest_of "$file")
    if [ "$now" != "$new" ] && [ "$now" != "$old" ]; then
      [ "$new" = "$old" ] || put "$content" "$file.new" "$mode" "$owner"
      [ "$new" = "$old" ] || note "$file was changed here and is left as it is; the new one is $file.new"
      note_digest "$file" "$new"
      return
    fi
  fi
  if [ ! -e "$file" ] || [ "$now" != "$new" ]; then
    put "$content" "$file" "$mode" "$owner"
  fi
  note_digest "$file" "$new"
}

put() {
  local fresh
  fresh=$(mktemp "$(dirname "$2")/.fieldgate.XXXXXX")
  cat "$1" >"$fresh"
  chmod "$3" "$fresh"
  chown "$4" "$fresh"
  mv "$fresh" "$2"
}

# --- the parts ----------------------------------------------------------------------------------------------------

make_user() {
  getent group "$RULES_GROUP" >/dev/null || groupadd --system "$RULES_GROUP"
  getent group "$USER_NAME" >/dev/null || groupadd --system "$USER_NAME"
  getent passwd "$USER_NAME" >/dev/null ||
    useradd --system --gid "$USER_NAME" --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin \
      --comment "Fieldgate gateway" "$USER_NAME"
  usermod --append --groups "dialout,$RULES_GROUP" "$USER_NAME"
}

make_release() {
  local version stamp wheels=$offline
  stamp=$(date -u +%Y%m%dT%H%M%S)
  release=$RELEASES/$stamp-$$
  say "installing into $release"
  mkdir -p "$RELEASES"
  trap 'rm -rf "$release"' EXIT
  "$PYTHON" -m venv "$release" || fail "making a virtual environment failed, see above; nothing was changed"
  if [ -z "$wheels" ]; then
    wheels=$release/wheels
    PYTHON=$PYTHON bash "$HERE/wheels.sh" "$wheels" >/dev/null || fail "fetching the program failed, see above; nothing was changed"
  fi
  pip_installs --require-hashes -r "$wheels/requirements.txt" # what the lock names, bit by bit, and nothing else
  pip_installs --no-deps fieldgate
  rm -rf "$release/wheels"
  version=$("$release/bin/fieldgate" --version) || fail "the new program does not run; nothing was changed"
  say "installed $version"
}

pip_installs() {
  "$release/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-cache-dir --root-user-action ignore \
    --no-index --find-links "$wheels" --only-binary :all: "$@" || fail "installing the program failed, see above; nothing was changed"
}

make_settings() {
  local folder=$ETC made id
  made=$(mktemp -d)
  install -d -m 755 "$folder"
  install -d -m 2775 -g "$RULES_GROUP" "$folder/rules.d" "$folder/devices.d"
  install -d -m 700 "$folder/secrets"
  id=$(sed -n 's/^  id: *//p' "$folder/fieldgate.yaml" 2>/dev/null | head -n 1 || true) # never another one than so far
  [ -n "$id" ] || id=$(uname -n | cut -d. -f1 | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9_-]\{1,\}/-/g; s/^[-_]*//; s/[-_]*$//')
  "$1/bin/fieldgate" config sample | sed "s/^  #id: .*/  id: ${id:-gateway}/; s|^  #path: $STATE|  path: $STATE|" >"$made/fieldgate.yaml"
  place "$made/fieldgate.yaml" "$folder/fieldgate.yaml" 640 "root:$USER_NAME"
  for schema in "$HERE"/config/*.schema.json; do
    place "$schema" "$folder/$(basename "$schema")" 644 root:root
  done
  if [ -e "$folder/rules.d/sample.yaml" ] || [ -z "$(noted_digest "$folder/rules.d/sample.yaml")" ]; then
    place "$HERE/config/rules.d/sample.yaml" "$folder/rules.d/sample.yaml" 664 "root:$RULES_GROUP"
  fi
  [ -e "$folder/users" ] || install -m 640 -g "$USER_NAME" /dev/null "$folder/users" # 'fieldgate user add' keeps the group
  rm -rf "$made"
}

make_service() {
  local systemd
  systemd=$(systemctl --version | awk 'NR == 1 {print $2}')
  place "$HERE/fieldgate.service" "$UNITS/fieldgate.service" 644 root:root
  if [ "${systemd%%[!0-9]*}" -ge 254 ]; then
    mkdir -p "$UNITS/fieldgate.service.d"
    place "$HERE/fieldgate-back-off.conf" "$UNITS/fieldgate.service.d/back-off.conf" 644 root:root
  fi
  if [ ! -e "$COMMAND" ] || [ "$(readlink "$COMMAND")" = "$CURRENT/bin/fieldgate" ]; then
    ln -sfn "$CURRENT/bin/fieldgate" "$COMMAND"
  else
    note "$COMMAND is not ours and is left as it is; the command is $CURRENT/bin/fieldgate"
  fi
  ! is_booted || systemctl daemon-reload
  systemctl enable --quiet fieldgate.service
}

switch_to() {
  ln -sfn "$1" "$CURRENT.new"
  mv -T "$CURRENT.new" "$CURRENT"
}

# Started, listening and answering; a service that systemd starts again and again is none.
comes_up() {
  local tries
  systemctl reset-failed fieldgate.service 2>/dev/null || true
  systemctl restart fieldgate.service || return 1
  for ((tries = 0; tries < 60; tries++)); do
    if "$CURRENT/bin/fieldgate" status --json -c "$ETC/fieldgate.yaml" >/dev/null 2>&1; then
      return 0
    fi
    [ "$(systemctl show -P NRestarts fieldgate.service)" -lt 3 ] || return 1
    sleep 0.5
  done
  return 1
}

last_words() {
  journalctl --no-pager --quiet --lines 15 --output cat --unit fieldgate.service >&2 || true
}

check_settings() {
  local credentials=/run/credentials/fieldgate.service
  [ ! -e "$ETC/fieldgate.yaml" ] && return
  CREDENTIALS_DIRECTORY=$([ ! -d "$credentials" ] || echo "$credentials") "$1/bin/fieldgate" check -c "$ETC/fieldgate.yaml" >&2 ||
    fail "the new version cannot use $ETC/fieldgate.yaml, see above; nothing was changed"
}

keep_two_releases() {
  local one
  for one in "$RELEASES"/*; do
    [ "$one" = "$release" ] || [ "$one" = "$before" ] || rm -rf "$one"
  done
}

# --- what is done -------------------------------------------------------------------------------------------------

install_it() {
  before='' release=''
  check_system
  check_python
  check_offline
  before=$(readlink "$CURRENT" 2>/dev/null || true)
  [ -z "$before" ] || [ -x "$before/bin/fieldgate" ] || before=''
  [ "$action" = install ] || [ -n "$before" ] || note "nothing is installed yet, so this is an installation"
  if [ "$action" = install ] && [ -n "$before" ]; then
    say "$("$before/bin/fieldgate" --version) is installed and stays; --upgrade installs what is in $SOURCE"
    release=$before
  else
    check_space
    make_release
    check_settings "$release"
  fi
  make_user
  make_settings "$release"
  make_service
  switch_to "$release"
  trap - EXIT
  start_it
  keep_two_releases
}

start_it() {
  if ! is_booted; then
    say "installed; systemd does not run here, the service starts with the next boot"
    return
  fi
  if [ "$before" = "$release" ] && systemctl is-active --quiet fieldgate.service; then
    say "the service runs and was left alone"
  elif comes_up; then
    next_steps
  elif [ -n "$before" ] && [ "$before" != "$release" ]; then
    last_words
    switch_to "$before"
    rm -rf "$release"
    comes_up || fail "the new version did not start, and the old one, put back, does not either; see above"
    fail "the new version did not start, see above; the old one runs again"
  else
    last_words
    fail "the service did not start, see above; it is tried again by itself: systemctl status fieldgate"
  fi
}

next_steps() {
  cat <<END

Fieldgate runs, and starts with the machine. Devices on this machine find it at 127.0.0.1:1883.

  sudo fieldgate status                      how it is
  sudo nano $ETC/fieldgate.yaml   uplinks, serial ports, devices in the network
  sudo fieldgate check && sudo systemctl restart fieldgate
  journalctl -u fieldgate -f                 its log
  sudo fieldgate doctor                      what is wrong here, and what to do

  Passwords and keys: a file in $ETC/secrets (root only), which is \${credential:secret_NAME} in fieldgate.yaml.
  Rules and profiles: $ETC/rules.d and devices.d.
  To look and to write rules without sudo: sudo usermod -aG $USER_NAME,$RULES_GROUP ${SUDO_USER:-NAME}, and log in again.
END
}

uninstall_it() {
  ! is_booted || systemctl disable --now --quiet fieldgate.service 2>/dev/null || true
  is_booted || systemctl disable --quiet fieldgate.service 2>/dev/null || true
  rm -f "$UNITS/fieldgate.service" "$UNITS/fieldgate.service.new"
  rm -f "$UNITS/fieldgate.service.d/back-off.conf" "$UNITS/fieldgate.service.d/back-off.conf.new"
  rmdir "$UNITS/fieldgate.service.d" 2>/dev/null || true
  [ "$(readlink "$COMMAND" 2>/dev/null)" != "$CURRENT/bin/fieldgate" ] || rm -f "$COMMAND"
  if is_booted; then
    systemctl daemon-reload
    systemctl reset-failed fieldgate.service 2>/dev/null || true
  fi
  if [ -z "$purge" ]; then
    find "$OPT" -mindepth 1 -maxdepth 1 ! -path "$NOTED" -exec rm -rf {} + 2>/dev/null || true
    say "removed; $ETC and $STATE are kept (--uninstall --purge removes them too)"
    return
  fi
  rm -rf "$OPT" "$ETC" "$STATE" "$UNITS/fieldgate.service.d"
  ! getent passwd "$USER_NAME" >/dev/null || userdel "$USER_NAME"
  ! getent group "$USER_NAME" >/dev/null || groupdel "$USER_NAME"
  ! getent group "$RULES_GROUP" >/dev/null || groupdel "$RULES_GROUP"
  say "removed, with its settings and all stored events"
}

read_arguments "$@"
check_machine
case $action in
  uninstall) uninstall_it ;;
  *) install_it ;;
esac
