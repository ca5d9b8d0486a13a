#!/bin/bash
# Boots systemd in a Debian root, in namespaces of its own, without a network. It prints the process
# id of that systemd when its units have started, and stays until it has ended. Needs root, and a
# kernel with cgroup2. With --without-systemd the first process of the root only waits, and needs no
# cgroups.
#   scripts/package/boot.sh [--without-systemd] ROOT     then: nsenter --all --target PID COMMAND…
# The exit code is 69 when that is not possible here.
set -eu -o pipefail
init=systemd
if [ "$1" = --without-systemd ]; then init=none; shift; fi
root=$1
cgroup= own= unshared=
if [ "$init" = systemd ]; then
  cgroup=$(mktemp -d)
  mount -t cgroup2 none "$cgroup" || exit 69
  own=$cgroup/hostler-package.$$
  mkdir "$own" || exit 69
fi
finish() {
  # With `unshare` ends what it started.
  if [ "$init" = none ]; then kill -KILL "$unshared" 2>/dev/null || true; return; fi
  echo 1 >"$own/cgroup.kill" 2>/dev/null || true
  # A cgroup can go when its processes have gone.
  for _ in $(seq 50); do find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.1; done
  umount "$cgroup"
  rmdir "$cgroup"
}
trap finish EXIT
trap 'exit 130' INT TERM

# shellcheck disable=SC2016 # for the inner shells
inside='
set -e
cd "$1"
mount --bind . . && cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
[ "$2" = none ] || mount -t cgroup2 cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for node in null zero full random urandom tty; do : >dev/$node; mount --bind /dev/$node dev/$node; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
: >etc/machine-id
ip link set lo up 2>/dev/null || true
hostname package
pivot_root . .
umount --lazy .
if [ "$2" = none ]; then
  : >run/booted
  # It waits for children that have lost their parents too.
  exec env -i container=hostler PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -c "sleep infinity & wait"
fi
exec env -i container=hostler PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=console --show-status=0
'
(
  [ -z "$own" ] || echo "$BASHPID" >"$own/cgroup.procs"
  exec unshare --cgroup --mount --ipc --uts --net --pid --fork --kill-child bash -c "$inside" bash "$root" "$init" >"$root.console" 2>&1 </dev/null
) &
unshared=$!
# The child of `unshare` is systemd, or what waits in its place.
systemd=
for _ in $(seq 600); do
  systemd=$(cat "/proc/$unshared/task/$unshared/children" 2>/dev/null) || true
  systemd=${systemd%% *}
  kill -0 "$unshared" 2>/dev/null || { tail -n 20 "$root.console" >&2; exit 69; }
  if [ "$init" = none ]; then
    if [ -n "$systemd" ] && nsenter --all --target "$systemd" test -e /run/booted 2>/dev/null; then break; fi
    sleep 0.2
    continue
  fi
  if [ -n "$systemd" ] && nsenter --all --target "$systemd" systemctl is-system-running --wait >/dev/null 2>&1; then break; fi
  [ -z "$systemd" ] || [ "$(nsenter --all --target "$systemd" systemctl is-system-running 2>/dev/null)" != degraded ] || break
  sleep 0.2
done
echo "$systemd"
wait "$unshared"
