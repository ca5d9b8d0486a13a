#!/bin/bash
# Runs a whole small cloud on this machine, of Debian's packages, with Hostler below Nova: see demo.py,
# which gets the arguments. It has namespaces of its own, and leaves nothing. The exit code is 69 if
# what it needs cannot be had here. Needs root.
set -eu -o pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
  echo "the demo needs root, to have namespaces of its own"
  exit 69
fi
# shellcheck source-path=SCRIPTDIR/..
. ./install.sh
packages=(libvirtd:libvirt-daemon virsh:libvirt-clients qemu-system-x86_64:qemu-system-x86
  cpio:cpio ip:iproute2 keystone-manage:python3-keystone glance-api:glance-api
  rabbitmqctl:rabbitmq-server
  mariadbd:mariadb-server-core
  my_print_defaults:mariadb-client-core hostname:hostname)
compgen -G '/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so' >/dev/null ||
  packages+=("no command of:libvirt-daemon-driver-qemu")
"$python" -c 'import pymysql' 2>/dev/null || packages+=("no command of:python3-pymysql")
"$python" -c 'import libvirt' 2>/dev/null || packages+=("no command of:python3-libvirt")
{
  functional_packages && "$repository/scripts/system-packages.sh" "${packages[@]}" &&
    guests/guest.sh "$cache/guest"
} >"$cache/install.log" 2>&1 || unable "$(tail -n 1 "$cache/install.log")"
export OS_WSGI__API_PASTE_CONFIG=$paste
cd "$repository"
scripts/contained.sh "$run/python" -W ignore integrations/nova/demo/demo.py "$cache/guest" "$@"
