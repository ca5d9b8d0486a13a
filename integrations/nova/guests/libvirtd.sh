#!/bin/bash
# Runs a libvirtd of its own, with nothing of the machine's: its configuration, state and sockets are
# in FOLDER, and so is what it would write into /run and /var. It ends, with the guests that it has
# started, when its standard input ends. Needs root.
#   libvirtd.sh FOLDER    It prints `ready` when FOLDER/run/libvirt-sock answers.
set -eu -o pipefail
mkdir -p "$1/etc" "$1/run"
folder=$(cd "$1" && pwd)
cat >"$folder/etc/libvirtd.conf" <<CONF
unix_sock_dir = "$folder/run"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "2:file:$folder/libvirtd.log"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
CONF
# Guests run as the user of hostlerd's files. There is no virtlogd, no cgroup and no security module.
cat >"$folder/etc/qemu.conf" <<CONF
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
CONF
# Debian's libvirt knows this user, even where guests run as another one.
{ cat /etc/passwd; echo "libvirt-qemu:x:64055:64055::/nonexistent:/bin/false"; } >"$folder/etc/passwd"
{ cat /etc/group; echo "libvirt-qemu:x:64055:"; } >"$folder/etc/group"
# shellcheck disable=SC2016 # for the inner shell
inside='
set -e
for each in /run /var/lib /var/cache /var/log; do mount -t tmpfs tmpfs "$each"; done
mount --bind "$1/etc" /etc/libvirt
for each in passwd group; do mount --bind "$1/etc/$each" "/etc/$each"; done
libvirtd --config "$1/etc/libvirtd.conf" --pid-file "$1/run/libvirtd.pid" &
# Guests lose their parent when they start. As the first process, bash waits for them too.
wait "$!"
'
# With `unshare` the kernel ends libvirtd and its guests.
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc \
  bash -c "$inside" bash "$folder" >"$folder/console.log" 2>&1 </dev/null &
unshared=$!
trap 'kill -KILL "$unshared" 2>/dev/null || true; wait "$unshared" 2>/dev/null || true' EXIT
until virsh --connect "qemu+unix:///system?socket=$folder/run/libvirt-sock" version >"$folder/version.log" 2>&1; do
  if ! kill -0 "$unshared" 2>/dev/null; then
    cat "$folder/console.log" "$folder/libvirtd.log" >&2 || true
    exit 1
  fi
  sleep 0.2
done
echo ready
cat >/dev/null
