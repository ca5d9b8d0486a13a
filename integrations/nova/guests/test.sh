#!/bin/bash
# Runs Nova with a libvirtd below it whose guests really start, without KVM: tests/libvirt_life.py and
# tests/libvirt_migration.py. The last line is `N passed, N failed, N skipped`. The exit code is 69 if
# what it needs cannot be had here. Needs root. Arguments are names of tests that are run instead, such
# as libvirt_life.Life.test_a_live_snapshot.
set -eu -o pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
  echo "libvirtd needs root, to have namespaces of its own"
  exit 69
fi
if ! unshare --mount --net --pid --fork mount -t tmpfs tmpfs /run; then
  echo "libvirtd needs namespaces of its own"
  exit 69
fi
# shellcheck source-path=SCRIPTDIR/..
. ./install.sh
packages=(libvirtd:libvirt-daemon virsh:libvirt-clients qemu-system-x86_64:qemu-system-x86
  cpio:cpio ip:iproute2)
compgen -G '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so' >/dev/null ||
  packages+=("no command of:libvirt-daemon-driver-qemu")
"$python" -c 'import libvirt' 2>/dev/null || packages+=("no command of:python3-libvirt")
{
  functional_packages && "$repository/scripts/system-packages.sh" "${packages[@]}" &&
    guests/guest.sh "$cache/guest"
} >"$cache/install.log" 2>&1 || unable "$(tail -n 1 "$cache/install.log")"
export OS_WSGI__API_PASTE_CONFIG=$paste
nova=("$run/python" -W ignore)
tests "guests that run" "${nova[@]}" tests/nova_functional.py --libvirt "$cache/guest" --parts 2 "$@"
[ $# -gt 0 ] || tests "a guest between two computes" "${nova[@]}" tests/two_computes.py "$cache/guest"
echo "$passed passed, $failed failed, $skipped skipped"
exit "$code"
