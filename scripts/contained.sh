#!/bin/bash
# Runs a command and leaves nothing of it behind, however it ends, even by SIGKILL: no processes,
# mounts, loop devices, network namespaces or temporary files (TMPDIR is a folder for it alone). The
# exit code is that of the command.
#   scripts/contained.sh [--online] COMMAND…    --online: with this machine's network; otherwise only a loopback
# As root the command has namespaces of its own, with the current folder and an empty /tmp. Where
# there are no namespaces, its processes are found by the name of the folder.
set -u
online=
if [ "$1" = --online ]; then online=yes; shift; fi
PATH="$PATH:/usr/sbin:/sbin"
after=$(dirname "$(readlink -f "$0")")/after-run.sh

# Removes what is left of runs whose cleaner was ended too. A lock that is free has no run.
for lock in "${TMPDIR:-/tmp}"/ht.*/lock; do
  if [ -e "$lock" ] && flock --nonblock "$lock" true; then RUN_FOLDER=${lock%/lock} "$after"; fi
done

folder=$(mktemp -d "${TMPDIR:-/tmp}/ht.XXXXXX") || exit 1
# Daemons of other users work in this folder.
chmod 711 "$folder"
exec 9>"$folder/locking"
flock 9
mv "$folder/locking" "$folder/lock"
# In a session of its own, so that a signal to this process group does not end it.
RUN_FOLDER=$folder setsid "$after" 9>&- </dev/null >/dev/null &
cleaner=$!
export TMPDIR=$folder HOSTLER_RUN=$folder

spaces=(--mount --pid --fork --kill-child --mount-proc)
[ -z "$online" ] && command -v ip >/dev/null && spaces+=(--net)
# The folder becomes /tmp, with those parts of the real /tmp that the command needs.
inside='
set -e
mkdir -m 1777 "$TMPDIR/tmp"
for each in "$TMPDIR" "$PWD"; do
  case $each in /tmp/*) mkdir -p "$TMPDIR$each"; mount --bind "$each" "$TMPDIR$each" ;; esac
done
# Daemons of other users must be able to read the checkout too, wherever it is.
if ! setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$PWD"; then
  mkdir "$TMPDIR/tmp/checkout"
  mount --bind "$PWD" "$TMPDIR/tmp/checkout"
  cd "$TMPDIR/tmp/checkout"
fi
mount --rbind "$TMPDIR/tmp" /tmp
[ "$PWD" != "$TMPDIR/tmp/checkout" ] || cd /tmp/checkout
mount -t tmpfs tmpfs /dev/shm
case " $SPACES " in *" --net "*) mount -t tmpfs tmpfs /run; ip link set lo up ;; esac
unset SPACES
export TMPDIR=/tmp
set +e
"$@"
exit $?'
alone=()
if [ "$(id -u)" = 0 ] && unshare "${spaces[@]}" true 2>/dev/null; then
  alone=(env SPACES="${spaces[*]}" unshare "${spaces[@]}" bash -c "$inside" bash)
fi
# When this script is killed, the kernel kills the command.
setpriv --pdeathsig KILL "${alone[@]}" "$@" &
child=$!
for signal in INT TERM HUP; do
  # shellcheck disable=SC2064 # the signal of now
  trap "echo 'The run was ended by SIG$signal' >&2; kill -KILL $child 2>/dev/null" "$signal"
done
wait "$child"
code=$?
wait "$child" 2>/dev/null
exec 9>&-
wait "$cleaner"
exit "$code"
