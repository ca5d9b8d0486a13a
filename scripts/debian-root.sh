#!/bin/bash
# Makes the root of a Debian 12, whose apt gets packages from where this machine gets them. Needs root.
#   scripts/debian-root.sh ROOT PACKAGE,…    PACKAGE: in addition to the essential ones
# It prints the environment that a command in the root needs to reach registries, a NAME=VALUE a line.
# The exit code is 69 when such a root cannot be made here. Packages come from apt's sources, the
# configuration of npm, pip and Go, proxies and certificates of the environment.
set -eu -o pipefail
root=$1
SUITE=bookworm
"$(dirname "$0")/system-packages.sh" debootstrap:debootstrap >&2 || exit 69
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

sources() { apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | grep -E " $SUITE(-updates|-security)? "; }
sources | sed 's/^/deb /' >"$scratch/sources.list"
read -r mirror < <(sources | sed -n "s/ $SUITE main\$//p")
debootstrap --variant=minbase --include="$2" "$SUITE" "$root" "$mirror" >"$scratch/log" 2>&1 ||
  { tail -n 20 "$scratch/log" >&2; exit 69; }

# Copies files to the same place in the root; a file that does not exist is skipped.
hand_in() { for each in "$@"; do if [ -f "$each" ]; then mkdir -p "$root$(dirname "$each")" && cp -L "$each" "$root$each"; fi; done; }
cp "$scratch/sources.list" "$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(https?|Retries)' >"$root/etc/apt/apt.conf.d/90this-machine" || true
hand_in /etc/resolv.conf /etc/hosts /etc/npmrc /usr/local/etc/npmrc /root/.npmrc /etc/pip.conf /root/.config/pip/pip.conf /root/.pip/pip.conf
for name in $(compgen -e | grep -iE '^((https?|all|no)_proxy|.*(_CA_|SSL_CERT|CA_CERTS).*|PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)|npm_config_.*|GO(PROXY|SUMDB|NOSUMDB|FLAGS))$'); do
  echo "$name=${!name}"
  hand_in "${!name}"
done
