#!/bin/bash
# Shows that the README's two commands work on a bare machine. It makes the root of a Debian 12 with
# only git and make, clones this repository into it and runs `make demo` and `make test` there. Needs
# root.
#   scripts/bare-machine.sh [COMMAND]    COMMAND: instead of the two
# The exit code is 69 when such a root cannot be made here: see scripts/debian-root.sh. Nothing is
# kept for the next run.
set -eu -o pipefail
cd "$(dirname "$0")/.."
here=$PWD
[ -n "${HOSTLER_RUN:-}" ] || exec "$here/scripts/contained.sh" --online "$0" "$@"
root=$TMPDIR/root
code=0
"$here/scripts/debian-root.sh" "$root" git,make,ca-certificates >"$TMPDIR/words" || code=$?
[ "$code" = 0 ] || exit "$code"
words=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}")
mapfile -t -O ${#words[@]} words <"$TMPDIR/words"
if command -v go >/dev/null; then words+=("GOPROXY=$(go env GOPROXY)" "GOSUMDB=$(go env GOSUMDB)"); fi
git clone -q "$here" "$root/root/hostler"
if [ -n "${HOSTLER_TEST_COUNTS:-}" ]; then words+=(HOSTLER_TEST_COUNTS=/root/counts); fi

{
  mount --bind "$root" "$root" && mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" &&
    mount --rbind /dev "$root/dev" && mount -t tmpfs tmpfs "$root/run"
} || exit 69
counts=${HOSTLER_TEST_COUNTS:-}
code=0
# In another mount namespace, because this one still has to read the results.
unshare --mount bash -c 'cd "$1" && pivot_root . . && umount --lazy . && shift && exec env -i "$@"' bash "$root" "${words[@]}" \
  bash -c "cd /root/hostler && ${1:-make demo && make test}" || code=$?
if [ -n "$counts" ] && [ -f "$root/root/counts" ]; then cp "$root/root/counts" "$counts"; fi
exit "$code"
