#!/bin/bash
# Installs the system packages that are missing. If it may not install, it names them and fails. More
# packages can be given as COMMAND:PACKAGE, libraries as libNAME.so.N:PACKAGE.
#   scripts/system-packages.sh [--optional] [COMMAND:PACKAGE…]    --optional: a package that cannot be installed is only named
set -eu
PATH="$PATH:/usr/sbin:/sbin"
optional=
if [ "${1:-}" = --optional ]; then optional=yes; shift; fi
wanted=(qemu-img:qemu-utils qemu-nbd:qemu-utils bwrap:bubblewrap setpriv:util-linux prlimit:util-linux flock:util-linux
  rsync:rsync ssh:openssh-client gzip:gzip xz:xz-utils zstd:zstd mke2fs:e2fsprogs debugfs:e2fsprogs)
[ -n "$optional" ] && wanted=()
missing=()
for pair in "${wanted[@]}" "$@"; do
  case "${pair%%:*}" in
    lib*.so.*) ldconfig -p | grep -q "^\s*${pair%%:*} " || missing+=("${pair##*:}") ;;
    *) command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}") ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0
packages=$(printf '%s\n' "${missing[@]}" | sort -u | tr '\n' ' ')
as_root=()
if [ "$(id -u)" != 0 ]; then
  as_root=(sudo -n)
  if ! sudo -n true 2>/dev/null; then
    echo "These system packages are missing: $packages" >&2
    echo "Install them as root: apt-get install -y $packages" >&2
    [ -n "$optional" ] && exit 0
    exit 1
  fi
fi
echo "Installing $packages"
# None of them may start as a service of this machine: tests start them with configurations of their
# own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
# shellcheck disable=SC2086 # a list of words
if [ -z "$optional" ]; then
  "${as_root[@]}" apt-get update -qq
  install $packages
else
  # Each one alone: a package that does not exist here must not prevent the others.
  { "${as_root[@]}" apt-get update -qq && install $packages; } ||
    for package in $packages; do install "$package" || echo "$package cannot be installed: tests that need it are skipped" >&2; done
fi
