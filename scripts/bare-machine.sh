#!/bin/bash
# Shows that the README's two commands work on a bare machine. It makes the root of a Debian 12 with
# only git and make, clones this repository into it and runs `make demo` and `make test` there. Needs
# root.
#   scripts/bare-machine.sh [COMMAND]    COMMAND: instead of the two
# The exit code is 69 when such a root cannot be made here. Packages come from where this machine
# gets them: apt's sources, the configuration of npm, pip and Go, proxies and certificates of the
# environment. Nothing is kept for the next run.
set -eu -o pipefail
cd "$(dirname "$0")/.."
here=$PWD
SUITE=bookworm
[ -n "${HOSTLER_RUN:-}" ] || exec "$here/scripts/contained.sh" --online "$0" "$@"
"$here/scripts/system-packages.sh" debootstrap:debootstrap || exit 69
root=$TMPDIR/root

sources() { apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | grep -E " $SUITE(-updates|-security)? "; }
sources | sed 's/^/deb /' >"$TMPDIR/sources.list"
read -r mirror < <(sources | sed -n "s/ $SUITE main\$//p")
debootstrap --variant=minbase --include=git,make,ca-certificates "$SUITE" "$root" "$mirror" >"$TMPDIR/debootstrap.log" 2>&1 ||
  { tail -n 20 "$TMPDIR/debootstrap.log" >&2; exit 69; }

# Copies files to the same place in the root; a file that does not exist is skipped.
hand_in() { for each in "$@"; do if [ -f "$each" ]; then mkdir -p "$root$(dirname "$each")" && cp -L "$each" "$root$each"; fi; done; }
cp "$TMPDIR/sources.list" "$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(https?|Retries)' >"$root/etc/apt/apt.conf.d/90this-machine" || true
hand_in /etc/resolv.conf /etc/hosts /etc/npmrc /usr/local/etc/npmrc /root/.npmrc /etc/pip.conf /root/.config/pip/pip.conf /root/.pip/pip.conf
words=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}")
for name in $(compgen -e | grep -iE '^((https?|all|no)_proxy|.*(_CA_|SSL_CERT|CA_CERTS).*|PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)|npm_config_.*|GO(PROXY|SUMDB|NOSUMDB|FLAGS))$'); do
  words+=("$name=${!name}")
  hand_in "${!name}"
done
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
