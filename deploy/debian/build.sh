#!/usr/bin/env bash
# Build the Debian package: Fieldgate with all that it needs in a virtual environment of its own.
#
# The wheels are those of wheels.sh, so every file in it comes from what the locks name. It is put together by dpkg-deb
# alone, with no time and no name of the machine that builds it: who builds the same commit gets the same bytes.
set -euo pipefail
umask 022

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
readonly DEPLOY=${HERE%/debian}
readonly SOURCE=${DEPLOY%/deploy}
readonly PROGRAM=/usr/lib/fieldgate
PYTHON=${PYTHON:-python3}

usage() {
  cat <<'END'
Usage: deploy/debian/build.sh [--debian 12|13] [--arch amd64|arm64] [--version VERSION] [--wheels DIR] [FOLDER]

  --debian N         the Debian (or Raspberry Pi OS of that generation) that it is for; else this one, else 12. The
                     package belongs to that Debian's Python: 3.11 in 12, 3.13 in 13
  --arch ARCH        the processor that it is for; else this one's. Any of them is built on any machine: compiled code
                     comes as wheels, and each library in the package is checked to be for that processor
  --version VERSION  else the one in pyproject.toml; '+deb12' or '+deb13' is added
  --wheels DIR       take the wheels in DIR (deploy/wheels.sh makes it, for that Python and processor), without network
  FOLDER             where fieldgate_VERSION_ARCH.deb is put; else dist

DEBFULLNAME and DEBEMAIL name who answers for the package. SOURCE_DATE_EPOCH is the time in it; else that of the commit.
END
}

fail() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 1
}

read_arguments() {
  debian='' arch='' version='' wheels='' folder=$SOURCE/dist
  while [ $# -gt 0 ]; do
    case $1 in
      --debian | --arch | --version | --wheels)
        [ $# -ge 2 ] || fail "$1 needs a value"
        printf -v "${1#--}" %s "$2"
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
      *) folder=$1 ;;
    esac
    shift
  done
  [ -n "$debian" ] || debian=$(of_this_machine)
  case $debian in
    12) python=3.11 next=3.12 ;;
    13) python=3.13 next=3.14 ;;
    *) fail "--debian is 12 or 13, not $debian" ;;
  esac
  [ -n "$arch" ] || arch=$(dpkg --print-architecture)
  case $arch in
    amd64) machine=x86_64 elf=3e00 ;;
    arm64) machine=aarch64 elf=b700 ;;
    *) fail "--arch is amd64 or arm64, not $arch: not all libraries exist for others" ;;
  esac
  [ -n "$version" ] || version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$SOURCE/pyproject.toml")
  [[ $version =~ ^[0-9][A-Za-z0-9.+~]*$ ]] || fail "$version is no version of a Debian package"
  version=$version+deb$debian
  command -v dpkg-deb >/dev/null || fail "there is no dpkg-deb; install it: sudo apt-get install dpkg"
}

of_this_machine() {
  local ID='' VERSION_ID=''
  # shellcheck source=/dev/null
  [ ! -r /etc/os-release ] || . /etc/os-release
  case $ID:$VERSION_ID in
    debian:13 | raspbian:13) echo 13 ;;
    *) echo 12 ;;
  esac
}

# MODE FILE PLACE, the place being a path in the package.
put() { install -D -m "$1" "$2" "$root$3"; }

put_program() {
  local site=$root$PROGRAM/lib/python$python/site-packages one
  local from=(--no-index --find-links "$wheels" --target "$site" --no-compile --no-deps --only-binary :all:)
  from+=(--quiet --no-input --disable-pip-version-check --root-user-action ignore --no-warn-conflicts)
  from+=(--python-version "$python" --implementation cp --abi "cp${python/./}" --abi abi3 --abi none)
  for ((one = 36; one >= 5; one--)); do from+=(--platform "manylinux_2_${one}_$machine"); done
  from+=(--platform "manylinux2014_$machine" --platform "linux_$machine")
  "$PYTHON" -m venv "$work/tools"
  "$work/tools/bin/python" -m pip install "${from[@]}" --require-hashes -r "$wheels/requirements.txt"
  "$work/tools/bin/python" -m pip install "${from[@]}" fieldgate
  # What dpkg knows better, and what could change what dpkg has put there.
  rm -rf "${site:?}/bin" "$site/pip" "$site"/pip-*.dist-info
  find "$site" -path '*.dist-info/*' \( -name RECORD -o -name INSTALLER -o -name REQUESTED -o -name direct_url.json \) -delete
  find "$site" -type d -name __pycache__ -prune -exec rm -rf {} +
  find "$site" -type f -exec chmod 644 {} +
  check_libraries "$site"
  mkdir -p "$root$PROGRAM/bin"
  ln -s "../../../bin/python$python" "$root$PROGRAM/bin/python3"
  ln -s python3 "$root$PROGRAM/bin/python"
  printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = %s\n' "$python" >"$root$PROGRAM/pyvenv.cfg"
  printf '#!%s/bin/python3\nimport sys\n\nfrom fieldgate.cli import main\n\nsys.exit(main())\n' "$PROGRAM" >"$work/command"
  put 755 "$work/command" "$PROGRAM/bin/fieldgate"
  mkdir -p "$root/usr/bin"
  ln -s "../lib/fieldgate/bin/fieldgate" "$root/usr/bin/fieldgate"
}

# Each is for the processor of the package, by its header.
check_libraries() {
  local one
  while IFS= read -r -d '' one; do
    [ "$(od -An -tx1 -j18 -N2 "$one" | tr -d ' \n')" = "$elf" ] || fail "${one#"$1"/} is not for $arch"
  done < <(find "$1" -name '*.so*' -type f -print0)
}

put_settings() {
  local one
  for one in "$DEPLOY"/config/*.schema.json; do put 644 "$one" "/etc/fieldgate/${one##*/}"; done
  put 644 "$DEPLOY/config/rules.d/sample.yaml" /etc/fieldgate/rules.d/sample.yaml
  (cd "$root" && find etc -type f -printf '/%p\n' | LC_ALL=C sort) >"$root/DEBIAN/conffiles"
}

put_service() {
  local units=/usr/lib/systemd/system
  sed "s|/opt/fieldgate/current/|$PROGRAM/|" "$DEPLOY/fieldgate.service" >"$work/unit"
  put 644 "$work/unit" $units/fieldgate.service
  # Debian 12 has systemd 252, which does not know what is in it.
  [ "$debian" = 12 ] || put 644 "$DEPLOY/fieldgate-back-off.conf" $units/fieldgate.service.d/back-off.conf
  put 644 "$HERE/fieldgate.sysusers" /usr/lib/sysusers.d/fieldgate.conf
}

put_documents() {
  local doc=/usr/share/doc/fieldgate one
  "$PYTHON" "$HERE/copyright.py" "$root$PROGRAM/lib/python$python/site-packages" >"$work/copyright"
  put 644 "$work/copyright" $doc/copyright
  printf 'fieldgate (%s) stable; urgency=medium\n\n  * What has changed is in CHANGELOG.md.gz, beside this file.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$work/changelog.gz"
  put 644 "$work/changelog.gz" $doc/changelog.gz
  gzip -9nc "$SOURCE/CHANGELOG.md" >"$work/CHANGELOG.md.gz"
  put 644 "$work/CHANGELOG.md.gz" $doc/CHANGELOG.md.gz
  for one in fieldgate.yaml network.yaml acl.yaml uplinks; do
    (cd "$DEPLOY/config" && find "$one" -type f -exec install -D -m 644 {} "$root$doc/examples/"{} \;)
  done
  (cd "$DEPLOY" && find observe -type f -exec install -D -m 644 {} "$root$doc/examples/"{} \;)
  gzip -9nc "$HERE/fieldgate.1" >"$work/fieldgate.1.gz"
  put 644 "$work/fieldgate.1.gz" /usr/share/man/man1/fieldgate.1.gz
  put 644 "$HERE/lintian-overrides" /usr/share/lintian/overrides/fieldgate
}

put_control() {
  local one
  for one in preinst postinst prerm postrm; do put 755 "$HERE/$one" /DEBIAN/$one; done
  (cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
  cat >"$root/DEBIAN/control" <<END
Package: fieldgate
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -k -s --apparent-size --exclude DEBIAN "$root" | cut -f1)
Depends: python3 (>= $python), python3 (<< $next), libc6 (>= 2.36), libgcc-s1, libstdc++6, systemd
Recommends: ca-certificates
Section: net
Priority: optional
Description: IoT edge gateway and device event hub
 Devices publish to it over MQTT or HTTP, speak to it on serial ports, or are
 asked by Modbus. It forwards their events to MQTT brokers and webhooks, takes
 commands to them, and carries out local rules in YAML.
 .
 An event is acknowledged to its device once it is safe: on this disk, or
 acknowledged upstream. While the way up is cut, events wait on disk within a
 byte limit.
 .
 This package is for Debian $debian. It has the Python libraries that Fieldgate
 needs inside, each in the version that was tested.
END
}

read_arguments "$@"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
maintainer="${DEBFULLNAME:-Fieldgate maintainers} <${DEBEMAIL:-maintainers@fieldgate.invalid}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$SOURCE" log -1 --format=%ct 2>/dev/null || stat -c %Y "$SOURCE/CHANGELOG.md")}
export SOURCE_DATE_EPOCH
if [ -z "$wheels" ]; then
  wheels=$work/wheels
  PYTHON=$PYTHON bash "$DEPLOY/wheels.sh" --for "$machine" --python "$python" "$wheels"
fi
mkdir -p "$root/DEBIAN" "$folder"
put_program
put_settings
put_service
put_documents
put_control
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --uniform-compression -Z"${DPKG_DEB_COMPRESSOR_TYPE:-xz}" --build "$root" "$folder/fieldgate_${version}_$arch.deb"
